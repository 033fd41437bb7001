//! Owns small conversions of names and bytes into text. Never knows what they stand for.

/// `LedgerHead` as `ledger_head`.
pub(crate) fn snake(camel: &str) -> String {
    let mut words = String::new();
    for letter in camel.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push('_');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

/// `LedgerHead` as `LEDGER_HEAD`: how specifications name a call or a status.
pub(crate) fn constant(camel: &str) -> String {
    snake(camel).to_uppercase()
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of an even number of hexadecimal digits.
pub(crate) fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

/// A UUID in text order.
pub(crate) fn uuid(bytes: &[u8; 16]) -> String {
    let [a, b, c, d, e] =
        [(0, 4), (4, 6), (6, 8), (8, 10), (10, 16)].map(|(from, to)| hex(&bytes[from..to]));
    format!("{a}-{b}-{c}-{d}-{e}")
}

#[cfg(test)]
mod tests {
    use super::{bytes_of_hex, constant, hex, snake, uuid};

    #[test]
    fn names_and_bytes_are_written_as_people_write_them() {
        assert_eq!(
            (snake("LedgerHead"), constant("HypPoll")),
            ("ledger_head".into(), "HYP_POLL".into())
        );
        assert_eq!(hex(&[0, 0xff]), "00ff");
        assert_eq!(uuid(&causeway_abi::SERVICE_UUID), "b4b5671e-4a90-4fe1-b81f-fb13dae1dacb");
    }

    #[test]
    fn only_whole_bytes_are_read() {
        assert_eq!(bytes_of_hex("00ff1"), None);
        assert_eq!(bytes_of_hex("0g"), None);
        assert_eq!(bytes_of_hex("00ff"), Some(vec![0, 255]));
    }
}
