//! Owns what S-EL0 under OP-TEE is to the partition: SVC, the two message pages, and what OP-TEE maps
//! when we retrieve. Never decides.

use crate::arch::mailbox::Mailbox;
use crate::arch::{counter, svc};
use crate::nothing::NoFlash;
use crate::optee::{self, REQUEST, RESPONSE};
use crate::shares::{Share, Shares};
use crate::window::Window;
use causeway_abi::{Permission, Trigger};
use causeway_ffa::{
    Answer, Call, EndpointId, FfaError, FuncId, Lengths, MemHandle, PageRange, Regs,
};
use causeway_memshare::{Doorbell, MapFailed};
use causeway_service::devices::Absent;
use causeway_service::lines::Said;
use causeway_service::platform::{
    Alarm, Bell, Clock, Conduit, Controller, HandOver, Lines, Log, Mailbox as MailboxAccess,
    MappedBits, Mapper, Outgoing, Parts, Secured,
};
use causeway_service::safe::Safe;
use causeway_service::spmc;
use core::fmt;

/// The SVC instruction.
pub(crate) struct Svc;

impl Conduit for Svc {
    fn call(&mut self, out: &Outgoing) -> Regs {
        svc::call(out)
    }
}

/// The log: FFA_CONSOLE_LOG, which OP-TEE prints on the secure UART.
pub(crate) struct Console;

impl Log for Console {
    fn line(&self, line: fmt::Arguments<'_>) {
        spmc::console_log(&mut Svc, format_args!("[sp] {line}\n"));
    }

    fn tell(&self, _owner: Option<EndpointId>, said: Said) {
        // Each line is some system calls: only what somebody asked to be written is worth them.
        match said {
            Said::Written { .. } | Said::Lost { .. } => self.line(format_args!("{said}")),
            Said::Map { .. } | Said::Unmap { .. } | Said::StrayInterrupt { .. } => {}
        }
    }
}

/// Prints a line.
macro_rules! log {
    ($($argument:tt)*) => {
        causeway_service::platform::Log::line(
            &$crate::machine::Console, format_args!($($argument)*))
    };
}
pub(crate) use log;

/// Whether there are partitions beside us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Company {
    /// None that can have shares of its own.
    Alone,
    /// At least one: a retrieve of its handle would stop OP-TEE (`docs/spmc-facts.md`,
    /// OPTEE-NOT-RECEIVER), so nothing is retrieved at all.
    Others,
}

/// The machine at S-EL0.
pub(crate) struct Machine {
    mailbox: Option<Mailbox>,
    company: Company,
    shares: Shares,
    /// The start of the message in TX.
    sent: [u8; REQUEST],
    sent_bytes: usize,
    /// The specified form of the response in RX.
    response: Option<[u8; RESPONSE]>,
}

impl Machine {
    /// Without message pages yet.
    pub(crate) const fn new() -> Self {
        Self {
            mailbox: None,
            company: Company::Others,
            shares: Shares::new(),
            sent: [0; REQUEST],
            sent_bytes: 0,
            response: None,
        }
    }

    /// Takes the message pages.
    pub(crate) fn start(&mut self, mailbox: Mailbox, company: Company) {
        self.mailbox = Some(mailbox);
        self.company = company;
    }

    /// A retrieve in OP-TEE's form, answered in the specified one.
    fn retrieve(&mut self) -> Result<Regs, FfaError> {
        if self.company == Company::Others {
            return Err(FfaError::Denied);
        }
        let specified = self.sent.get(..self.sent_bytes).ok_or(FfaError::InvalidParameters)?;
        let request = optee::request(specified).ok_or(FfaError::InvalidParameters)?;
        let handle = self.handle_at(8).ok_or(FfaError::InvalidParameters)?;
        let mailbox = self.mailbox.as_mut().ok_or(FfaError::Denied)?;
        if !mailbox.write_tx(&request) {
            return Err(FfaError::InvalidParameters);
        }
        let lengths = lengths(REQUEST).ok_or(FfaError::InvalidParameters)?;
        let answer = svc::call(&Call::MemRetrieveReq { lengths }.encode().smc8());
        if answer.func() != Some(FuncId::MemRetrieveResp) {
            return Ok(answer);
        }
        let mut raw = [0; RESPONSE];
        let read = mailbox.read_rx(&mut raw).then(|| optee::response(&raw, handle)).flatten();
        let Some(read) = read else {
            log!("a response of another form: the share is left alone");
            return Err(FfaError::InvalidParameters);
        };
        self.response = Some(read.response);
        if let Some(pages) = read.pages {
            let (mapped_at, writable) = (read.mapped_at, read.writable);
            if !self.shares.add(Share { handle, pages, mapped_at, writable }) {
                log!("more shares than OP-TEE has");
            }
        }
        let lengths = self::lengths(RESPONSE).ok_or(FfaError::InvalidParameters)?;
        Ok(Answer::MemRetrieveResp(lengths).encode())
    }

    /// The handle in the message in TX.
    fn handle_at(&self, offset: usize) -> Option<MemHandle> {
        let sent = self.sent.get(..self.sent_bytes)?;
        MemHandle::new(u64::from_le_bytes(*sent.get(offset..)?.first_chunk()?))
    }
}

fn lengths(bytes: usize) -> Option<Lengths> {
    let bytes = u32::try_from(bytes).ok()?;
    Lengths::new(bytes, bytes)
}

impl Conduit for Machine {
    fn call(&mut self, out: &Outgoing) -> Regs {
        let [function, ..] = *out;
        match FuncId::from_raw(u32::try_from(function).unwrap_or(u32::MAX)) {
            Some(FuncId::MemRetrieveReq32 | FuncId::MemRetrieveReq64) => {
                self.response = None;
                self.retrieve().unwrap_or_else(|error| Call::Error(error).encode())
            }
            Some(FuncId::MemRelinquish) => {
                let handle = self.handle_at(0);
                let answer = svc::call(out);
                if answer.func() == Some(FuncId::Success32)
                    && let Some(handle) = handle
                {
                    self.shares.remove(handle);
                }
                answer
            }
            _ => svc::call(out),
        }
    }
}

impl MailboxAccess for Machine {
    fn write_tx(&mut self, bytes: &[u8]) -> bool {
        let written = self.mailbox.as_mut().is_some_and(|mailbox| mailbox.write_tx(bytes));
        self.sent_bytes = if written { bytes.len() } else { 0 };
        for (kept, byte) in self.sent.iter_mut().zip(bytes) {
            *kept = *byte;
        }
        written
    }

    fn read_rx(&mut self, into: &mut [u8]) -> bool {
        match &self.response {
            Some(response) => match response.get(..into.len()) {
                Some(bytes) => {
                    into.copy_from_slice(bytes);
                    true
                }
                None => false,
            },
            None => self.mailbox.as_ref().is_some_and(|mailbox| mailbox.read_rx(into)),
        }
    }
}

impl Mapper for Machine {
    type Window = Window;

    fn map(&mut self, range: PageRange, permission: Permission) -> Result<Window, MapFailed> {
        self.shares.window(range, permission)
    }

    /// Gives the way up. OP-TEE unmaps when the share is relinquished, and not before.
    fn unmap(&mut self, window: Window) -> Result<(), MapFailed> {
        let _: PageRange = window.into_range();
        Ok(())
    }

    fn mapped_bits(&self, range: PageRange) -> Option<MappedBits> {
        self.shares.bits(range)
    }
}

impl Clock for Machine {
    fn now(&self) -> u64 {
        counter::now()
    }

    fn ticks_per_second(&self) -> u64 {
        counter::frequency()
    }
}

impl Bell for Machine {
    /// There is none: OP-TEE gives a partition neither notifications nor the interrupt controller.
    /// Everybody polls.
    fn ring(&mut self, _doorbell: Doorbell) {}
}

impl Log for Machine {
    fn line(&self, line: fmt::Arguments<'_>) {
        Console.line(line);
    }

    fn tell(&self, owner: Option<EndpointId>, said: Said) {
        Console.tell(owner, said);
    }
}

impl Parts for Machine {
    type Entropy = Absent;
    type Disk = Absent;
    type Console = Console;

    fn entropy(&self) -> Option<Absent> {
        None
    }

    fn disk(&mut self, _driver: EndpointId) -> Option<Absent> {
        None
    }

    fn console(&self) -> Console {
        Console
    }
}

impl Secured for Machine {
    type Flash = NoFlash;
    type Safe = &'static Safe<NoFlash>;

    fn safe(&self) -> Option<Self::Safe> {
        None
    }

    /// Nothing at S-EL0 resets the machine; no watchdog is offered by the manifest for OP-TEE.
    fn reset(&mut self) {
        log!("a reset was asked for, which S-EL0 cannot do");
    }
}

impl Controller for Machine {
    fn claim(&mut self, _intid: u32, _trigger: Trigger) -> bool {
        false
    }

    fn acknowledge(&mut self) -> Option<u32> {
        None
    }

    fn end(&mut self, _intid: u32) {}

    fn open(&mut self, _intid: u32) {}

    fn close(&mut self, _intid: u32) {}
}

impl Lines for Machine {
    fn is_known(&self, _intid: u32) -> bool {
        false
    }

    fn quiet(&mut self, _intid: u32) -> u32 {
        1
    }

    fn rearm(&mut self, _intid: u32) {}

    fn provoke(&mut self, _intid: u32) -> bool {
        false
    }
}

impl Alarm for Machine {
    fn alarm_intid(&self) -> Option<u32> {
        None
    }

    fn set_alarm(&mut self, _deadline: Option<u64>) {}

    fn core(&self) -> u16 {
        0
    }

    fn leave_core(&mut self, _alarm: HandOver) {}
}
