//! Passes the target triple on, so that manifests can name one library per target.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if let Ok(target) = std::env::var("TARGET") {
        println!("cargo:rustc-env=ANAGAMA_TARGET={target}");
    }
}
