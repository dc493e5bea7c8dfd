//! Random numbers that equal those of other programs.

mod torch_cpu;

pub use torch_cpu::TorchCpu;
