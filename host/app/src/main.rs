//! `anagama`: computes on the CPU, and hands over to `anagama-gpu` where it is asked for a graphics card.

use std::process::ExitCode;

fn main() -> ExitCode {
    app::main(app::Device::Cpu)
}
