//! Failures for want of room on a disk, told from all others.

use std::io::{Error, ErrorKind};

/// What the system says, in the user's words.
const ROWS: [(ErrorKind, &str); 3] = [
    (ErrorKind::StorageFull, "the disk is full"),
    (ErrorKind::QuotaExceeded, "the quota of the disk is used up"),
    (ErrorKind::FileTooLarge, "the disk is full as far as this program may use it: the file would exceed a limit"),
];

/// If this failed because there was no room to write: says so in words.
pub fn no_room(error: &anyhow::Error) -> Option<&'static str> {
    let kinds = error.chain().filter_map(|cause| cause.downcast_ref::<Error>()).map(Error::kind);
    kinds.filter_map(|kind| ROWS.iter().find(|(row, _)| *row == kind)).map(|(_, words)| *words).next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn a_full_disk_is_found_behind_what_others_added() {
        let full: Result<(), Error> = Err(Error::from(ErrorKind::StorageFull));
        let error = full.context("cannot write a.png").context("node 3").unwrap_err();
        assert_eq!(no_room(&error), Some("the disk is full"));
        let wrapped = Error::new(ErrorKind::QuotaExceeded, "inside another error");
        assert!(no_room(&wrapped.into()).is_some_and(|words| words.contains("quota")));
        assert_eq!(no_room(&Error::from(ErrorKind::NotFound).into()), None);
        assert_eq!(no_room(&anyhow::anyhow!("the disk is full of stars")), None);
    }
}
