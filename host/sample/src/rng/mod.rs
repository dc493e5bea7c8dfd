//! Random numbers that equal those of other programs.

mod philox;
mod seed_sequence;
mod torch_cpu;
mod torch_cpu_16;

pub use philox::Philox;
pub use seed_sequence::seed_words;
pub use torch_cpu::TorchCpu;
