//! Prints the tables of two runs' consoles: `cargo run -p causeway-bench --example report OURS EMPTY`.

use causeway_bench::report::Report;
use std::process::ExitCode;

fn main() -> ExitCode {
    let paths: Vec<_> = std::env::args().skip(1).collect();
    let [ours, empty] = paths.as_slice() else {
        eprintln!("usage: report OURS EMPTY (the consoles of two runs)");
        return ExitCode::from(2);
    };
    let read = |path: &String| {
        std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    let (ours, empty) = match (read(ours), read(empty)) {
        (Ok(ours), Ok(empty)) => (ours, empty),
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    match Report::new(ours.lines(), empty.lines()) {
        Ok(report) => {
            print!("{}", report.markdown());
            println!("\n{} goals missed", report.missed().count());
            if report.missed().next().is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(unusable) => {
            eprintln!("{unusable}");
            ExitCode::FAILURE
        }
    }
}
