//! Owns reading a description's text into a tree whose every part knows its line. Never knows what a
//! property means. The grammar is device-tree source without includes, bytes and expressions.

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) line: usize,
    pub(super) what: String,
}

impl Wrong {
    pub(super) fn at(line: usize, what: impl Into<String>) -> Self {
        Self { line, what: what.into() }
    }
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) label: Option<String>,
    pub(super) line: usize,
    pub(super) properties: Vec<Property>,
    pub(super) children: Vec<Node>,
}

/// A property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Property {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) values: Vec<Value>,
}

/// A value of a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Number(u32),
    /// `&label`.
    Reference(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Reference(String),
    Sign(char),
}

/// Deeper trees are refused.
const MAX_DEPTH: usize = 16;

/// Reads a description.
pub(super) fn read(text: &str) -> Result<Node, Wrong> {
    let tokens = tokens(text)?;
    let mut rest = Tokens { tokens: &tokens, last_line: 1 };
    for expected in [Token::Word("/dts-v1/".into()), Token::Sign(';'), Token::Word("/".into())] {
        let (line, token) = rest.next("`/dts-v1/;` and a root node")?;
        if token != expected {
            return Err(Wrong::at(
                line,
                "a description begins with `/dts-v1/;` and a root node `/ {`",
            ));
        }
    }
    let line = rest.last_line;
    let root = body(&mut rest, Node { name: "/".into(), line, ..Node::default() }, 0)?;
    match rest.tokens {
        [] => Ok(root),
        [(line, _), ..] => Err(Wrong::at(*line, "there must be nothing behind the root node")),
    }
}

struct Tokens<'a> {
    tokens: &'a [(usize, Token)],
    last_line: usize,
}

impl Tokens<'_> {
    fn next(&mut self, wanted: &str) -> Result<(usize, Token), Wrong> {
        let Some(((line, token), rest)) = self.tokens.split_first() else {
            return Err(Wrong::at(
                self.last_line,
                format!("the text ends where {wanted} should be"),
            ));
        };
        self.tokens = rest;
        self.last_line = *line;
        Ok((*line, token.clone()))
    }

    fn sign(&mut self, sign: char) -> Result<(), Wrong> {
        match self.next(&format!("`{sign}`"))? {
            (_, Token::Sign(found)) if found == sign => Ok(()),
            (line, _) => Err(Wrong::at(line, format!("`{sign}` is missing"))),
        }
    }
}

/// What stands between a node's braces, and the `;` behind them.
fn body(rest: &mut Tokens<'_>, mut node: Node, depth: usize) -> Result<Node, Wrong> {
    if depth > MAX_DEPTH {
        return Err(Wrong::at(node.line, format!("nodes nest deeper than {MAX_DEPTH}")));
    }
    rest.sign('{')?;
    let mut label = None;
    loop {
        let (line, token) = rest.next("a property, a node or `}`")?;
        let name = match token {
            Token::Sign('}') if label.is_none() => {
                rest.sign(';')?;
                return Ok(node);
            }
            Token::Word(word) => word,
            Token::Sign(_) | Token::Text(_) | Token::Reference(_) => {
                return Err(Wrong::at(line, "a property, a node or `}` should be here"));
            }
        };
        if let Some(name) = name.strip_suffix(':') {
            label = Some(name.to_owned());
            continue;
        }
        match rest.tokens.first() {
            Some((_, Token::Sign('{'))) => {
                if node.children.iter().any(|child| child.name == name) {
                    return Err(Wrong::at(line, format!("there are two nodes `{name}`")));
                }
                let child = Node { name, label: label.take(), line, ..Node::default() };
                node.children.push(body(rest, child, depth.saturating_add(1))?);
            }
            _ if label.is_some() => return Err(Wrong::at(line, "a label belongs to a node")),
            _ => {
                if node.properties.iter().any(|property| property.name == name) {
                    return Err(Wrong::at(line, format!("`{name}` is there twice")));
                }
                let values = values(rest)?;
                node.properties.push(Property { name, line, values });
            }
        }
    }
}

/// What stands behind a property's name, up to its `;`.
fn values(rest: &mut Tokens<'_>) -> Result<Vec<Value>, Wrong> {
    let mut values = Vec::new();
    let (line, token) = rest.next("`=` or `;`")?;
    match token {
        Token::Sign(';') => return Ok(values),
        Token::Sign('=') => {}
        Token::Sign(_) | Token::Word(_) | Token::Text(_) | Token::Reference(_) => {
            return Err(Wrong::at(line, "`=` or `;` is missing"));
        }
    }
    loop {
        match rest.next("a value")? {
            (_, Token::Text(text)) => values.push(Value::Text(text)),
            (_, Token::Sign('<')) => cells(rest, &mut values)?,
            (line, _) => return Err(Wrong::at(line, "a value is \"text\" or <cells>")),
        }
        match rest.next("`,` or `;`")? {
            (_, Token::Sign(',')) => {}
            (_, Token::Sign(';')) => return Ok(values),
            (line, _) => return Err(Wrong::at(line, "`,` or `;` is missing")),
        }
    }
}

fn cells(rest: &mut Tokens<'_>, values: &mut Vec<Value>) -> Result<(), Wrong> {
    loop {
        match rest.next("a cell or `>`")? {
            (_, Token::Sign('>')) => return Ok(()),
            (_, Token::Reference(label)) => values.push(Value::Reference(label)),
            (line, Token::Word(word)) => {
                let number = match word.strip_prefix("0x") {
                    Some(digits) => u32::from_str_radix(digits, 16),
                    None => word.parse(),
                };
                let number = number
                    .map_err(|_| Wrong::at(line, format!("`{word}` is no number of 32 bits")))?;
                values.push(Value::Number(number));
            }
            (line, _) => return Err(Wrong::at(line, "a cell is a number or &label")),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, Wrong> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(behind) = rest.strip_prefix("/*") {
            let (comment, after) = behind
                .split_once("*/")
                .ok_or_else(|| Wrong::at(line, "the comment that begins here has no end"))?;
            line += comment.matches('\n').count();
            rest = after;
        } else if rest.starts_with("//") {
            rest = rest.find('\n').and_then(|end| rest.get(end..)).unwrap_or_default();
        } else if let Some(behind) = rest.strip_prefix('"') {
            let (text, after) = behind
                .split_once('"')
                .filter(|(text, _)| !text.contains(['\n', '\\']))
                .ok_or_else(|| Wrong::at(line, "a text ends on its line and has no `\\`"))?;
            tokens.push((line, Token::Text(text.to_owned())));
            rest = after;
        } else if first.is_whitespace() {
            line += usize::from(first == '\n');
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        } else if "{};=<>,".contains(first) {
            tokens.push((line, Token::Sign(first)));
            rest = rest.get(1..).unwrap_or_default();
        } else {
            let is_word = |c: char| c.is_ascii_alphanumeric() || "&/._+-#@?:".contains(c);
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            rest = after;
            match word.strip_prefix('&') {
                _ if word.is_empty() => {
                    return Err(Wrong::at(line, format!("`{first}` has no meaning here")));
                }
                Some(label) => tokens.push((line, Token::Reference(label.to_owned()))),
                None => tokens.push((line, Token::Word(word.to_owned()))),
            }
        }
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::{Value, Wrong, read};

    #[test]
    fn nodes_properties_and_their_lines_are_read() {
        let text = "/dts-v1/;\n/ {\n\ta = <1 0x10>, <&l>;\n\t/* two\n\tlines */ l: b@1 { c; d = \"x\", \"y\"; };\n};\n";
        let root = read(text).expect("a tree");
        let a = &root.properties[0];
        assert_eq!((a.name.as_str(), a.line), ("a", 3));
        let cells = [Value::Number(1), Value::Number(16), Value::Reference("l".into())];
        assert_eq!(a.values, cells);
        let b = &root.children[0];
        assert_eq!((b.name.as_str(), b.label.as_deref(), b.line), ("b@1", Some("l"), 5));
        assert_eq!(b.properties[1].values, [Value::Text("x".into()), Value::Text("y".into())]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, line, part) in [
            ("", 1, "the text ends"),
            ("/dts-v2/;", 1, "begins with"),
            ("/dts-v1/;\n/ {\n a = <1>\n};\n", 4, "`,` or `;`"),
            ("/dts-v1/;\n/ {\n a;\n a;\n};\n", 4, "twice"),
            ("/dts-v1/;\n/ { n { };\n\n n { };\n};\n", 4, "two nodes"),
            ("/dts-v1/;\n/ {\n a = <0xg>;\n};\n", 3, "no number"),
            ("/dts-v1/;\n/ {\n a = <0x100000000>;\n};\n", 3, "no number"),
            ("/dts-v1/;\n/ {\n /* \n};\n", 3, "no end"),
            ("/dts-v1/;\n/ {\n a = \"b;\n};\n", 3, "ends on its line"),
            ("/dts-v1/;\n/ {\n l: a;\n};\n", 3, "label"),
            ("/dts-v1/;\n/ {\n};\nmore", 4, "nothing behind"),
            ("/dts-v1/;\n/ {\n a = [01];\n};\n", 3, "no meaning"),
        ] {
            let Err(Wrong { line: found, what }) = read(text) else { panic!("{text}") };
            assert!(found == line && what.contains(part), "{text}: {found}: {what}");
        }
    }

    #[test]
    fn no_cut_and_no_depth_panics() {
        let text = include_str!("../../../manifests/platform/qemu-virt.dts");
        for end in 0..text.len() {
            assert!(end > text.len() - 3 || read(&text[..end]).is_err());
        }
        let deep = format!("/dts-v1/;\n/ {{ {} ", "a { ".repeat(5000));
        assert!(read(&deep).is_err_and(|wrong| wrong.what.contains("deeper")));
    }
}
