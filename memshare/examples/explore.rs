//! Owns the command line of the walk over all states: `--json FILE`, `--defect NAME|all`,
//! `--world NAME` for one configuration, `--states N` for the nearest states. Never
//! checks anything itself; `cargo xtask explore` forwards to it.

use causeway_abi::LifeState;
use causeway_memshare::Defect;
use causeway_memshare::explore::{
    Action, Move, Options, Report, Violation, WORLDS, World, explore, missing,
};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

struct Args {
    json: Option<PathBuf>,
    defects: Option<Vec<Defect>>,
    states: usize,
    world: Option<String>,
}

fn args() -> Result<Args, String> {
    let mut args = Args { json: None, defects: None, states: usize::MAX, world: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--json" => args.json = Some(value()?.into()),
            "--states" => args.states = value()?.parse().map_err(|_| "--states: a number")?,
            "--world" => {
                let name = value()?;
                if World::named(&name).is_none() {
                    return Err(format!("no world {name}; there are: {}", WORLDS.join(", ")));
                }
                args.world = Some(name);
            }
            "--defect" => {
                let name = value()?;
                let one = || Defect::from_name(&name).map(|d| vec![d]);
                let named = if name == "all" { Some(Defect::ALL.to_vec()) } else { one() };
                args.defects = Some(named.ok_or(format!("no defect {name}; {}", names()))?);
            }
            _ => return Err(format!("unknown option {word}")),
        }
    }
    Ok(args)
}

fn names() -> String {
    let names: Vec<_> = Defect::ALL.iter().map(|d| d.name()).collect();
    format!("there are: all, {}", names.join(", "))
}

fn shown(violation: &Violation) -> Value {
    let line = |a: &Action| format!("{:?}{}", a.act, a.fault.suffix());
    json!({
        "what": violation.what,
        "trace": violation.trace.iter().map(line).collect::<Vec<_>>(),
    })
}

fn moved(one: &Move) -> Value {
    let state = |state: Option<LifeState>| state.map(|state| format!("{state:?}"));
    json!({ "from": state(one.from), "by": one.by, "to": state(one.to), "local": one.local })
}

fn run(report: &Report) -> Value {
    json!({
        "name": report.name,
        "states": report.states,
        "transitions": report.transitions,
        "depth": report.depth,
        "complete": report.complete,
        "violations": report.violations.iter().map(shown).collect::<Vec<_>>(),
        "per_event": report.per_event,
        "moves": report.moves.iter().map(moved).collect::<Vec<_>>(),
    })
}

fn line(r: &Report) {
    eprintln!(
        "{:14} {:8} states {:10} transitions, depth {:2}, {} violations{}",
        r.name,
        r.states,
        r.transitions,
        r.depth,
        r.violations.len(),
        if r.complete { "" } else { ", NOT COMPLETE" },
    );
}

fn whole(states: usize, world: Option<&str>) -> (Value, Result<(), String>) {
    let reports = match world {
        None => explore(Options { states, progress: line, ..Options::default() }),
        Some(name) => World::named(name).map(|w| w.walk(None, states)).into_iter().collect(),
    };
    let total: usize = reports.iter().map(|r| r.states).sum();
    if world.is_some() {
        reports.iter().for_each(line);
    }
    let missing = if world.is_some() { Vec::new() } else { missing(&reports) };
    let verdict = if let Some(v) = reports.iter().find_map(|r| r.violations.first()) {
        Err(format!("{} after {} steps", v.what, v.trace.len()))
    } else if let Some(r) = reports.iter().find(|r| !r.complete) {
        Err(format!("{} is not complete", r.name))
    } else if let Some(first) = missing.first() {
        Err(first.clone())
    } else {
        Ok(())
    };
    let runs = reports.iter().map(run).collect::<Vec<_>>();
    (json!({ "runs": runs, "states": total, "missing": missing }), verdict)
}

fn with_defects(defects: &[Defect], most: usize) -> (Value, Result<(), String>) {
    std::panic::set_hook(Box::new(|_| {}));
    // A defect shows near the start of some world, or not at all.
    let states = most.min(4000);
    let walks = Mutex::new(defects.iter());
    let next = || walks.lock().ok()?.next();
    let done = Mutex::new(Vec::new());
    let work = || {
        while let Some(defect) = next() {
            let options = Options { defect: Some(*defect), states, threads: 1, progress: |_| {} };
            let reports = explore(options);
            done.lock().map(|mut done| done.push((*defect, reports))).unwrap_or_default();
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..Options::default().threads {
            scope.spawn(work);
        }
    });
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by_key(|(defect, _)| defects.iter().position(|d| d == defect));
    let mut rows = Vec::new();
    let mut hidden = Vec::new();
    for (defect, reports) in &done {
        let found = reports
            .iter()
            .flat_map(|r| r.violations.iter().map(|v| (r.name, v)))
            .min_by_key(|(_, v)| v.trace.len());
        let (world, what) = found.map_or(("-", "NOT FOUND"), |(name, v)| (name, v.what.as_str()));
        eprintln!("{:20} {world:14} {what}", defect.name());
        if found.is_none() {
            hidden.push(defect.name());
        }
        rows.push(json!({
            "defect": defect.name(),
            "found": found.is_some(),
            "expected": defect.breaks(),
            "run": world,
            "violation": found.map(|(_, v)| shown(v)),
        }));
    }
    let verdict =
        if hidden.is_empty() { Ok(()) } else { Err(format!("not found: {}", hidden.join(", "))) };
    (json!({ "defects": rows }), verdict)
}

fn main() -> ExitCode {
    let args = match args() {
        Ok(args) => args,
        Err(what) => {
            eprintln!("{what}");
            return ExitCode::from(2);
        }
    };
    let began = Instant::now();
    let (mut result, verdict) = match &args.defects {
        None => whole(args.states, args.world.as_deref()),
        Some(defects) => with_defects(defects, args.states),
    };
    if let Some(object) = result.as_object_mut() {
        object.insert("pass".into(), verdict.is_ok().into());
        object.insert("reason".into(), verdict.clone().err().unwrap_or_default().into());
        object.insert("seconds".into(), began.elapsed().as_secs().into());
    }
    if let Some(file) = args.json
        && let Err(error) = std::fs::write(&file, format!("{result:#}\n"))
    {
        eprintln!("{}: {error}", file.display());
        return ExitCode::from(3);
    }
    match verdict {
        Ok(()) => {
            println!("PASS");
            ExitCode::SUCCESS
        }
        Err(reason) => {
            println!("FAIL: {reason}");
            ExitCode::from(1)
        }
    }
}
