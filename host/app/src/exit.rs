//! Exit codes: one table, which `--help` and scripts share.

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Ok,
    Failed,
    Invalid,
    Cancelled,
    Aborted,
    Unread,
}

const ROWS: [(Exit, u8, &str); 6] = [
    (Exit::Ok, 0, "done"),
    (Exit::Failed, 1, "a node failed, or a file or folder of the host's own could not be used"),
    (Exit::Invalid, 2, "wrong usage, configuration or workflow; nothing ran"),
    (Exit::Cancelled, 3, "stopped by Ctrl-C; what was finished is kept, and the same command goes on from there"),
    (Exit::Aborted, 130, "stopped at once by a second Ctrl-C"),
    (Exit::Unread, 141, "nobody reads the output any more"),
];

impl Exit {
    pub(crate) fn code(self) -> u8 {
        ROWS.iter().find(|(exit, ..)| *exit == self).map_or(1, |(_, code, _)| *code)
    }

    /// The table for `--help`.
    pub(crate) fn help() -> String {
        let rows: Vec<String> = ROWS.iter().map(|(_, code, what)| format!("  {code:<4} {what}")).collect();
        format!("Exit codes:\n{}", rows.join("\n"))
    }
}

/// An error and the exit code it leads to.
#[derive(Debug)]
pub(crate) struct Fail {
    pub(crate) exit: Exit,
    pub(crate) error: anyhow::Error,
}

/// What the user wrote is wrong, and nothing ran.
pub(crate) fn invalid(error: impl Into<anyhow::Error>) -> Fail {
    Fail { exit: Exit::Invalid, error: error.into() }
}

impl<E: Into<anyhow::Error>> From<E> for Fail {
    fn from(error: E) -> Self {
        Self { exit: Exit::Failed, error: error.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_differ_and_are_all_explained() {
        let mut codes: Vec<u8> = ROWS.iter().map(|(exit, ..)| exit.code()).collect();
        codes.dedup();
        assert_eq!(codes.len(), ROWS.len());
        assert!(Exit::help().contains("  3    stopped by Ctrl-C"));
    }
}
