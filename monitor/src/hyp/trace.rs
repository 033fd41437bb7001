//! Owns the trace: a line for each call that the monitor saw, if the boot configuration asks for it. Never
//! changes what is traced. `cargo xtask decode` reads the lines; docs/trace.md has their form.

use super::dispatch::Regs8;
use crate::arch::timer;
use crate::arch::uart::say;
use causeway_monitor::layout::Processor;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

static ON: AtomicBool = AtomicBool::new(false);

/// Traces from now on.
pub(crate) fn begin() {
    ON.store(true, Ordering::Relaxed);
    say!("TRACE begins ticks_per_second={}", timer::ticks_of_ms(1000));
}

fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// When a call was made; nothing if nobody traces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked(Option<u64>);

/// A call is about to be made.
pub(crate) fn ask() -> Asked {
    Asked(is_on().then(timer::now))
}

/// A VM's call was answered, or ended its processor.
pub(crate) fn of_vm(at: Asked, processor: Processor, call: &Regs8, answer: Option<&Regs8>) {
    let Asked(Some(at)) = at else { return };
    let (vm, number) = (processor.vm.id().get(), processor.number);
    let (call, took) = (Words(call), timer::now() - at);
    match answer {
        Some(answer) => {
            say!(
                "TRACE at={at} took={took} by=vm{vm}.{number} call={call} answer={}",
                Words(answer)
            );
        }
        None => say!("TRACE at={at} took={took} by=vm{vm}.{number} call={call}"),
    }
}

/// The SPMC answered a call of the monitor's own, or one that it carried.
pub(crate) fn below(at: Asked, call: &Regs8, answer: &Regs8) {
    let Asked(Some(at)) = at else { return };
    let (call, answer, took) = (Words(call), Words(answer), timer::now() - at);
    say!("TRACE at={at} took={took} by=monitor call={call} answer={answer}");
}

/// Registers in hexadecimal, x0 first; zeros at the end are left out.
struct Words<'a>(&'a Regs8);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = self.0.iter().rposition(|word| *word != 0).unwrap_or(0);
        for (index, word) in self.0.iter().take(used + 1).enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{word:x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Words;

    #[test]
    fn zeros_at_the_end_are_left_out_and_nothing_else() {
        assert_eq!(Words(&[0; 8]).to_string(), "0");
        assert_eq!(Words(&[0x8400_0061, 0, 3, 0, 0, 0, 0, 0]).to_string(), "84000061,0,3");
        assert_eq!(Words(&[1, 2, 3, 4, 5, 6, 7, 8]).to_string(), "1,2,3,4,5,6,7,8");
    }
}
