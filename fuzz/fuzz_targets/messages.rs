//! Owns the fuzz target of virtio-msg messages: any bytes are a message or an error, and what is
//! read is written back. Never routes one.
#![no_main]

use causeway_virtio::msg::{Message, frame_bytes, long_frame_bytes};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = Message::decode(bytes) else { return };
    let written = message.encode();
    assert_eq!(Message::decode(written.bytes()), Ok(message));
    let long = long_frame_bytes(&written.to_long_frame());
    assert_eq!(Message::decode(&long), Ok(message));
    if let Some(words) = written.to_frame() {
        assert_eq!(Message::decode(&frame_bytes(&words)), Ok(message));
    }
});
