//! Serves one native library to the program that started this one. For programs that use the loader without being
//! `anagama`, which does the same by a hidden command.

fn main() -> std::io::Result<()> {
    #[cfg(unix)]
    return loader::serve_library();
    #[cfg(not(unix))]
    Err(std::io::Error::new(std::io::ErrorKind::Unsupported, "native libraries in processes of their own need Unix"))
}
