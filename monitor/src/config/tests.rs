//! Holds the configuration to its claims.

use super::*;

const FULL: &str = "causeway-boot 1\ncores=4\ndisk_pa=0x50000000\ndisk_bytes=16777216\n\
    end=vm1\nvm1=job=transfer batch=65536\nvm2=job=transfer\nvm3=job=idle\n";

#[test]
fn a_full_configuration_is_read_whole() {
    let config = BootConfig::parse(FULL.as_bytes()).unwrap().unwrap();
    assert_eq!(config.cores, 4);
    assert_eq!(config.disk, PhysRange { base: 0x5000_0000, len_bytes: 16 << 20 });
    assert_eq!(config.end, EndRule::Vm(FRONTEND));
    assert_eq!(config.commands, ["job=transfer batch=65536", "job=transfer", "job=idle"]);
}

#[test]
fn memory_without_the_magic_is_no_configuration() {
    for bytes in [&[0_u8; 8][..], b"", b"\xff\xff", b"causeway-boot 2\n", b"causeway-boot 11"] {
        assert_eq!(BootConfig::parse(bytes), Ok(None));
    }
}

#[test]
fn text_ends_at_the_nul() {
    let config = BootConfig::parse(b"causeway-boot 1\ncores=2\n\0cores=9\n").unwrap().unwrap();
    assert_eq!(config.cores, 2);
}

#[test]
fn each_broken_rule_is_named_with_its_line() {
    let parse = |line: &str| {
        let text = format!("causeway-boot 1\n{line}\n");
        BootConfig::parse(text.as_bytes()).map(|config| config.is_some())
    };
    assert_eq!(parse("cores=0"), Err(ConfigError::BadValue(2)));
    assert_eq!(parse("cores=9"), Err(ConfigError::BadValue(2)));
    assert_eq!(parse("disk_pa=0x50000001"), Err(ConfigError::BadValue(2)));
    assert_eq!(parse("disk_bytes=513"), Err(ConfigError::BadValue(2)));
    assert_eq!(parse("disk_bytes=268435968"), Err(ConfigError::BadValue(0)));
    assert_eq!(parse("disk_pa=0xfffffffffffff000"), Err(ConfigError::BadValue(0)));
    assert_eq!(parse("end=never"), Err(ConfigError::BadValue(2)));
    assert_eq!(parse("vm4=x"), Err(ConfigError::UnknownKey(2)));
    assert_eq!(parse("colour=red"), Err(ConfigError::UnknownKey(2)));
    assert_eq!(parse("cores"), Err(ConfigError::UnknownKey(2)));
    assert_eq!(parse("cores=1\ncores=1"), Err(ConfigError::Repeated(3)));
    assert_eq!(parse("vm1=\u{7f}"), Err(ConfigError::NotText(2)));
    let long = format!("vm1={}", "a".repeat(MAX_COMMAND_BYTES + 1));
    assert_eq!(parse(&long), Err(ConfigError::BadValue(2)));
}

#[test]
fn what_tests_switch_is_read_and_is_off_by_default() {
    let none = BootConfig::default();
    assert_eq!((none.controller, none.confirm), (FRONTEND, Confirm::Always));
    assert_eq!((none.store_check, none.vcpus), (StoreCheck::Quota, [1; VM_COUNT]));
    assert_eq!(none.trace, Trace::Nothing);
    assert_eq!(none.store_quota, STORE_QUOTA);
    let text = "causeway-boot 1\nend=vm3\ncontroller=3\nconfirm_unmaps=never\nstore_check=spmc\ntrace=calls\n\
        store_quota_vm1=65536\nstore_quota_vm2=0\nstore_quota_vm3=0\nvcpus_vm1=2\n";
    let config = BootConfig::parse(text.as_bytes()).unwrap().unwrap();
    let third = VmIndex::ALL[2];
    assert_eq!((config.end, config.controller), (EndRule::Vm(third), third));
    assert_eq!((config.confirm, config.store_check), (Confirm::Never, StoreCheck::Spmc));
    assert_eq!(config.trace, Trace::Calls);
    assert_eq!((config.store_quota, config.vcpus), ([65536, 0, 0], [2, 1, 1]));
}

#[test]
fn quotas_never_promise_more_than_the_store_holds() {
    let parse = |text: &str| BootConfig::parse(format!("causeway-boot 1\n{text}").as_bytes()).err();
    assert_eq!(parse("store_quota_vm1=65536"), Some(ConfigError::BadValue(0)));
    assert_eq!(parse("store_quota_vm2=8193"), Some(ConfigError::BadValue(0)));
    assert_eq!(parse("store_quota_vm1=65537"), Some(ConfigError::BadValue(2)));
    assert_eq!(parse("store_quota_vm4=1"), Some(ConfigError::UnknownKey(2)));
    assert_eq!(parse("store_quota_vm2=8192\nstore_quota_vm2=1"), Some(ConfigError::Repeated(3)));
    assert_eq!(parse("vcpus_vm1=0"), Some(ConfigError::BadValue(2)));
    assert_eq!(parse("vcpus_vm1=3"), Some(ConfigError::BadValue(2)));
    assert_eq!(parse("controller=0"), Some(ConfigError::BadValue(2)));
    assert_eq!(parse("confirm_unmaps=sometimes"), Some(ConfigError::BadValue(2)));
    assert_eq!(parse("trace=all"), Some(ConfigError::BadValue(2)));
}
