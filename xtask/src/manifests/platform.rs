//! Owns what a description says: domains, memory, devices and the partition's policy, read out of the
//! tree. Never compares one part with another: `check` does.

use super::source::{Node, Property, Value, Wrong};

/// A run of physical memory, with the line that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: u64,
    pub(super) bytes: u64,
    pub(super) line: usize,
}

impl Range {
    /// The first byte behind it.
    pub(super) fn end(&self) -> u64 {
        self.start.saturating_add(self.bytes)
    }

    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end() && other.start < self.end()
    }

    pub(super) fn contains(&self, other: &Self) -> bool {
        self.start <= other.start && other.end() <= self.end()
    }
}

/// Memory of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) range: Range,
    pub(super) secure: bool,
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) name: String,
    pub(super) label: Option<String>,
    pub(super) compatible: String,
    pub(super) secure: bool,
    pub(super) range: Option<Range>,
    pub(super) intid: Option<u32>,
    pub(super) line: usize,
}

/// The hypervisor, or a VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Domain {
    pub(super) name: String,
    pub(super) label: Option<String>,
    pub(super) id: u16,
    pub(super) memory: Range,
    pub(super) line: usize,
    /// Nodes of the policy's grammar: `grant-*`, `services`.
    pub(super) rules: Vec<Node>,
}

/// The partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Partition {
    pub(super) id: u16,
    pub(super) uuid: [u8; 16],
    pub(super) memory: Range,
    pub(super) policy: Node,
}

/// A whole description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Platform {
    pub(super) model: String,
    pub(super) contexts: u32,
    pub(super) memories: Vec<Memory>,
    pub(super) devices: Vec<Device>,
    pub(super) hypervisor: Option<Domain>,
    pub(super) store_quotas: Vec<u32>,
    pub(super) vms: Vec<Domain>,
    pub(super) partition: Partition,
}

impl Platform {
    pub(super) fn read(root: &Node) -> Result<Self, Wrong> {
        root.only(&["compatible", "model"])?;
        if root.texts("compatible")? != ["causeway,platform-1"] {
            return Err(root.wrong("compatible", "must be \"causeway,platform-1\""));
        }
        let (mut memories, mut devices) = (Vec::new(), Vec::new());
        let (mut contexts, mut domains) = (None, None);
        for child in &root.children {
            match child.name.as_str() {
                "cpus" => {
                    child.only(&["contexts"])?;
                    contexts = Some(child.number("contexts")?);
                }
                "devices" => {
                    child.only(&[])?;
                    devices = child.children.iter().map(device).collect::<Result<_, _>>()?;
                }
                "domains" => domains = Some(child),
                name if name.starts_with("memory@") => {
                    child.only(&["reg", "secure"])?;
                    let secure = child.flag("secure")?;
                    memories.push(Memory { range: child.range("reg")?, secure });
                }
                name => {
                    return Err(Wrong::at(
                        child.line,
                        format!("`{name}` is no node of a platform"),
                    ));
                }
            }
        }
        let missing = |what: &str| Wrong::at(root.line, format!("the node `{what}` is missing"));
        let domains = domains.ok_or_else(|| missing("domains"))?;
        let mut platform = Self {
            model: root.text("model")?,
            contexts: contexts.ok_or_else(|| missing("cpus"))?,
            memories,
            devices,
            hypervisor: None,
            store_quotas: Vec::new(),
            vms: Vec::new(),
            partition: Self::partition(domains)?,
        };
        platform.read_domains(domains)?;
        Ok(platform)
    }

    fn partition(domains: &Node) -> Result<Partition, Wrong> {
        let mut found = domains.children.iter().filter(|child| is(child, "causeway,partition"));
        let node = found
            .next()
            .ok_or_else(|| Wrong::at(domains.line, "no domain is a \"causeway,partition\""))?;
        if let Some(other) = found.next() {
            return Err(Wrong::at(other.line, "there is one partition in a description"));
        }
        node.only(&["compatible", "id", "uuid", "memory"])?;
        let [policy] = node.children.as_slice() else {
            return Err(Wrong::at(node.line, "a partition has one node, `policy`"));
        };
        if policy.name != "policy" {
            return Err(Wrong::at(policy.line, "a partition has one node, `policy`"));
        }
        Ok(Partition {
            id: node.id("id")?,
            uuid: node.uuid("uuid")?,
            memory: node.range("memory")?,
            policy: policy.clone(),
        })
    }

    fn read_domains(&mut self, domains: &Node) -> Result<(), Wrong> {
        domains.only(&[])?;
        for node in &domains.children {
            if !is(node, "openamp,domain-v1") {
                return Err(node.wrong("compatible", "must begin with \"openamp,domain-v1\""));
            }
            if is(node, "causeway,partition") {
                continue;
            }
            let hypervisor = is(node, "causeway,hypervisor");
            let names: &[&str] = if hypervisor {
                &["compatible", "id", "memory", "store-quotas"]
            } else {
                &["compatible", "id", "memory"]
            };
            node.only(names)?;
            let domain = Domain {
                name: node.name.clone(),
                label: node.label.clone(),
                id: node.id("id")?,
                memory: node.range("memory")?,
                line: node.line,
                rules: node.children.clone(),
            };
            if !hypervisor {
                self.vms.push(domain);
            } else if self.hypervisor.is_none() && domain.rules.is_empty() {
                self.store_quotas = node.numbers("store-quotas")?;
                self.hypervisor = Some(domain);
            } else {
                return Err(Wrong::at(node.line, "there is one hypervisor, and it has no nodes"));
            }
        }
        Ok(())
    }

    /// The domain with a label.
    pub(super) fn domain(&self, label: &str) -> Option<&Domain> {
        let all = self.vms.iter().chain(&self.hypervisor);
        all.into_iter().find(|domain| domain.label.as_deref() == Some(label))
    }

    /// The device with a label.
    pub(super) fn device(&self, label: &str) -> Option<&Device> {
        self.devices.iter().find(|device| device.label.as_deref() == Some(label))
    }
}

fn is(node: &Node, compatible: &str) -> bool {
    node.texts("compatible").is_ok_and(|all| all.iter().any(|one| one == compatible))
}

fn device(node: &Node) -> Result<Device, Wrong> {
    node.only(&["compatible", "secure", "reg", "interrupts"])?;
    if let Some(child) = node.children.first() {
        return Err(Wrong::at(child.line, "a device has no nodes"));
    }
    let has = |name: &str| node.property(name).is_some();
    Ok(Device {
        name: node.name.clone(),
        label: node.label.clone(),
        compatible: node.text("compatible")?,
        secure: node.flag("secure")?,
        range: if has("reg") { Some(node.range("reg")?) } else { None },
        intid: if has("interrupts") { Some(node.number("interrupts")?) } else { None },
        line: node.line,
    })
}

impl Node {
    pub(super) fn property(&self, name: &str) -> Option<&Property> {
        self.properties.iter().find(|property| property.name == name)
    }

    /// Refuses properties that are not among `names`: a misspelt one is no silent one.
    pub(super) fn only(&self, names: &[&str]) -> Result<(), Wrong> {
        match self.properties.iter().find(|property| !names.contains(&property.name.as_str())) {
            None => Ok(()),
            Some(property) => {
                let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                let (name, node) = (&property.name, &self.name);
                let what = format!("`{name}` is no property of `{node}` (there are: {known})");
                Err(Wrong::at(property.line, what))
            }
        }
    }

    /// What is wrong with a property, on its line or, if it is missing, its node's.
    pub(super) fn wrong(&self, name: &str, what: &str) -> Wrong {
        match self.property(name) {
            Some(property) => Wrong::at(property.line, format!("`{name}` {what}")),
            None => Wrong::at(self.line, format!("`{name}` is missing in `{}`", self.name)),
        }
    }

    pub(super) fn texts(&self, name: &str) -> Result<Vec<String>, Wrong> {
        let values = self.property(name).map(|property| property.values.as_slice());
        let texts: Option<Vec<String>> = values.unwrap_or_default().iter().map(text).collect();
        texts.filter(|list| !list.is_empty()).ok_or_else(|| self.wrong(name, "must be text"))
    }

    pub(super) fn text(&self, name: &str) -> Result<String, Wrong> {
        match self.texts(name)?.as_slice() {
            [one] => Ok(one.clone()),
            _ => Err(self.wrong(name, "must be one text")),
        }
    }

    pub(super) fn numbers(&self, name: &str) -> Result<Vec<u32>, Wrong> {
        let values = self.property(name).map(|property| property.values.as_slice());
        let numbers: Option<Vec<u32>> = values.unwrap_or_default().iter().map(number).collect();
        numbers.filter(|list| !list.is_empty()).ok_or_else(|| self.wrong(name, "must be numbers"))
    }

    pub(super) fn number(&self, name: &str) -> Result<u32, Wrong> {
        match self.numbers(name)?.as_slice() {
            [one] => Ok(*one),
            _ => Err(self.wrong(name, "must be one number")),
        }
    }

    pub(super) fn id(&self, name: &str) -> Result<u16, Wrong> {
        u16::try_from(self.number(name)?).map_err(|_| self.wrong(name, "must have 16 bits"))
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, Wrong> {
        match self.property(name) {
            None => Ok(false),
            Some(property) if property.values.is_empty() => Ok(true),
            Some(_) => Err(self.wrong(name, "has no value")),
        }
    }

    /// Start and size, two cells each.
    pub(super) fn range(&self, name: &str) -> Result<Range, Wrong> {
        let numbers = self.numbers(name)?;
        let [start_high, start_low, high, low] = numbers.as_slice() else {
            return Err(self.wrong(name, "must be start and size, two cells each"));
        };
        let wide = |high: &u32, low: &u32| u64::from(*high) << 32 | u64::from(*low);
        let (start, bytes) = (wide(start_high, start_low), wide(high, low));
        let whole = start.is_multiple_of(4096) && bytes.is_multiple_of(4096) && bytes > 0;
        if !whole || start.checked_add(bytes).is_none() {
            return Err(self.wrong(name, "must be whole pages of 4 KiB, one at least"));
        }
        let line = self.property(name).map_or(self.line, |property| property.line);
        Ok(Range { start, bytes, line })
    }

    /// A UUID in text order.
    pub(super) fn uuid(&self, name: &str) -> Result<[u8; 16], Wrong> {
        let text = self.text(name)?;
        let bad = || self.wrong(name, "must be 8-4-4-4-12 hexadecimal digits");
        let lengths: Vec<usize> = text.split('-').map(str::len).collect();
        if lengths != [8, 4, 4, 4, 12] {
            return Err(bad());
        }
        let number = u128::from_str_radix(&text.replace('-', ""), 16).map_err(|_| bad())?;
        Ok(number.to_be_bytes())
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        Value::Number(_) | Value::Reference(_) => None,
    }
}

fn number(value: &Value) -> Option<u32> {
    match value {
        Value::Number(number) => Some(*number),
        Value::Text(_) | Value::Reference(_) => None,
    }
}
