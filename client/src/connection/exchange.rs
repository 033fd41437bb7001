//! Owns single FF-A calls: encode, call, decode; never touches the buffers.

use super::VERSION;
use crate::conduit::Conduit;
use crate::error::{Error, Rule};
use causeway_ffa::{Answer, Call, EndpointId, FuncId, Regs, Version, regs};

/// How often a call may be interrupted or yield before it counts as endless. The scheduler that
/// gives it cycles again is this program.
const RESUMES: u32 = 100_000;

/// Makes a call and reads the answer. An FFA_ERROR becomes [`Error::Ffa`].
pub(crate) fn once(conduit: &dyn Conduit, call: &Call) -> Result<Answer, Error> {
    let mut file = call.encode();
    let function = FuncId::from_raw(file.w(0)).ok_or(Error::caller(Rule::AnswerForm))?;
    conduit.call(&mut file);
    read(&file, function)
}

fn read(file: &Regs, call: FuncId) -> Result<Answer, Error> {
    match Answer::decode(file, VERSION) {
        Ok(Answer::Error(error)) => Err(Error::Ffa { call, error }),
        Ok(answer) => Ok(answer),
        Err(_) => Err(Error::hypervisor(Rule::AnswerForm)),
    }
}

/// Makes a call, and gives its callee cycles again as long as it was interrupted or yielded.
pub(crate) fn resumed(conduit: &dyn Conduit, call: &Call) -> Result<Answer, Error> {
    let mut answer = once(conduit, call)?;
    for _ in 0..RESUMES {
        let target = match answer {
            Answer::Interrupt { target, .. } | Answer::Yield { target } => target,
            Answer::Success(_)
            | Answer::Error(_)
            | Answer::MemRetrieveResp(_)
            | Answer::MemFragRx { .. }
            | Answer::MemFragTx { .. }
            | Answer::DirectResp(_)
            | Answer::DirectResp2(_)
            | Answer::FrameworkResp(_)
            | Answer::MsgWait => return Ok(answer),
        };
        answer = once(conduit, &Call::Run { target })?;
    }
    Err(Error::partition(Rule::EndlessCall))
}

/// Makes a call that answers with success and nothing else of interest.
pub(crate) fn plain(conduit: &dyn Conduit, call: &Call) -> Result<(), Error> {
    match once(conduit, call)? {
        Answer::Success(_) => Ok(()),
        Answer::Error(_)
        | Answer::MemRetrieveResp(_)
        | Answer::MemFragRx { .. }
        | Answer::MemFragTx { .. }
        | Answer::DirectResp(_)
        | Answer::DirectResp2(_)
        | Answer::FrameworkResp(_)
        | Answer::MsgWait
        | Answer::Interrupt { .. }
        | Answer::Yield { .. } => Err(Error::hypervisor(Rule::AnswerForm)),
    }
}

/// Agrees on a version of FF-A.
pub(crate) fn negotiate(conduit: &dyn Conduit, version: Version) -> Result<(), Error> {
    let mut file = Call::Version { requested: Some(version) }.encode();
    conduit.call(&mut file);
    let theirs = regs::decode_version_reply(&file)
        .map_err(|error| Error::Ffa { call: FuncId::Version, error })?;
    if theirs.serves(version) { Ok(()) } else { Err(Error::hypervisor(Rule::FfaVersion)) }
}

/// Asks for the caller's id.
pub(crate) fn own_id(conduit: &dyn Conduit) -> Result<EndpointId, Error> {
    let Answer::Success(success) = once(conduit, &Call::IdGet)? else {
        return Err(Error::hypervisor(Rule::AnswerForm));
    };
    Ok(success.endpoint())
}
