//! Owns bus messages that travel in a direct message (x3-x7): only what sets the bus up.

use crate::connection::Connection;
use crate::error::{Error, Rule};
use causeway_virtio::msg::{Body, BusRequest, BusResponse, Message, frame_bytes};

/// How often an all-zero answer, which means busy, is tried again.
const BUSY_TRIES: u32 = 3;

/// Sends a bus request in a direct message and returns the answer.
pub(super) fn ask(connection: &Connection<'_>, request: BusRequest) -> Result<BusResponse, Error> {
    let token = 1;
    let message = Message { dev_num: 0, token, body: Body::BusRequest(request) };
    let encoded = message.encode();
    let words = encoded.to_frame().ok_or(Error::caller(Rule::MessageForm))?;
    let mut answer = connection.direct(words)?;
    for _ in 1..BUSY_TRIES {
        if answer != [0; 5] {
            break;
        }
        answer = connection.direct(words)?;
    }
    let answer =
        Message::decode(&frame_bytes(&answer)).map_err(|_| Error::partition(Rule::MessageForm))?;
    match answer.body {
        Body::BusResponse(BusResponse::Error { original_msg_id }) => {
            Err(Error::BusError { msg_id: original_msg_id })
        }
        Body::BusResponse(response) if answer.token == token => Ok(response),
        Body::BusResponse(_) | Body::BusRequest(_) | Body::Request(_) | Body::Response(_) => {
            Err(Error::partition(Rule::MessageKind))
        }
    }
}
