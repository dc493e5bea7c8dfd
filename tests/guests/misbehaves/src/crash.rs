//! Ways to die, or to never end.

use plugin_sdk::control;

/// Dies as `how` says; does nothing for a name that is no way to die.
pub(crate) fn now(how: &str) {
    match how {
        "panic" => panic!("where the plugin panics"),
        "loop" => {
            // `black_box` keeps the loop from being removed.
            let mut n = 0_u64;
            while std::hint::black_box(n) != u64::MAX {
                n = n.wrapping_add(2);
            }
        }
        // Asks, but does not hear.
        "deaf" => loop {
            std::hint::black_box(control::cancelled());
        },
        "sleep" => loop {
            control::log(control::Level::Trace, "still here");
        },
        "memory" => {
            let mut kept = Vec::new();
            loop {
                kept.push(vec![1_u8; 1 << 20]);
                std::hint::black_box(&kept);
            }
        }
        "recursion" => {
            std::hint::black_box(deeper(1));
        }
        "wild-pointer" => {
            let address = std::hint::black_box(usize::MAX - 4096);
            // SAFETY: it is not, which is the point: this address is nobody's.
            unsafe { (address as *mut u8).write_volatile(1) };
        }
        #[cfg(not(target_family = "wasm"))]
        "abort" => std::process::abort(),
        #[cfg(not(target_family = "wasm"))]
        "exit" => std::process::exit(0),
        #[cfg(not(target_family = "wasm"))]
        "garbage" => garbage(),
        _ => {}
    }
}

#[expect(unconditional_recursion, reason = "that is the point")]
fn deeper(n: u64) -> u64 {
    let big = std::hint::black_box([n; 64]);
    1 + deeper(n + 1) + big[(n % 64) as usize]
}

/// Writes to standard output what could be taken for an answer.
#[cfg(not(target_family = "wasm"))]
fn garbage() {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    for n in 0..200 {
        let _ = writeln!(out, "{{\"answer\": {n}}}\0\0\0\x08garbage");
    }
    let _ = out.flush();
}
