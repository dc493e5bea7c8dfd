//! `anagama-gpu`: the same program with CUDA. It is one of its own because it does not start where CUDA's libraries are
//! missing.

use std::process::ExitCode;

fn main() -> ExitCode {
    app::main(app::Device::Cuda)
}
