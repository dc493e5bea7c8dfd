//! Tells `anagama-gpu` where it finds CUDA's libraries when it starts, if `cargo xtask gpu` has put them somewhere of its own.

const FOLDER: &str = "ANAGAMA_CUDA_LIBRARIES";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={FOLDER}");
    let with_cuda = std::env::var_os("CARGO_FEATURE_CUDA").is_some();
    if let (true, Ok(folder)) = (with_cuda, std::env::var(FOLDER)) {
        println!("cargo::rustc-link-arg-bin=anagama-gpu=-Wl,-rpath,{folder}");
    }
}
