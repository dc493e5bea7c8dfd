//! The user's clock, in the time zone that the environment or the system names.

use graph::Moment;

/// Now.
pub(crate) fn now() -> Moment {
    let now = jiff::Zoned::now();
    // Times of this clock are neither negative nor beyond the year 9999.
    let number = |n: i8| u32::try_from(n).unwrap_or(0);
    Moment {
        year: u32::try_from(now.year()).unwrap_or(0),
        month: number(now.month()),
        day: number(now.day()),
        hour: number(now.hour()),
        minute: number(now.minute()),
        second: number(now.second()),
    }
}

/// What a workflow of the editor is read with on the command line: choices in prompts come out the same each time, so that
/// a run that was stopped goes on as what it was.
pub(crate) fn sending() -> graph::ui::Sending {
    graph::ui::Sending { now: now(), seed: 0 }
}
