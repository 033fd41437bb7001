//! Prints what the partition costs in RAM; never runs it. With `--features minimal` it is the profile for
//! two VMs and one device with one queue.

use causeway_fake_spmc::Platform;

fn main() {
    let profile = if cfg!(feature = "minimal") { "minimal" } else { "full" };
    println!("bytes of the partition's RAM, {profile} profile, on this host:");
    for (part, bytes) in Platform::ram() {
        println!("{bytes:9} {part}");
    }
}
