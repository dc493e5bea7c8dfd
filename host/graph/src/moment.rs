//! A moment as the user's clock shows it, for the names of files.

use std::time::{SystemTime, UNIX_EPOCH};

/// Date and time, without a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub year: u32,
    /// From 1, and so is the day.
    pub month: u32,
    pub day: u32,
    pub hour: u32,
    pub minute: u32,
    pub second: u32,
}

impl Moment {
    /// So many seconds after the beginning of 1970, in Greenwich. Source: H. Hinnant, «chrono-compatible low-level date
    /// algorithms».
    pub fn utc(seconds: u64) -> Self {
        let (days, rest) = (seconds / 86_400 + 719_468, (seconds % 86_400) as u32);
        let (era, of_era) = (days / 146_097, days % 146_097);
        let of_year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let day_of_year = of_era - (365 * of_year + of_year / 4 - of_year / 100);
        let part = (5 * day_of_year + 2) / 153;
        let month = (if part < 10 { part + 3 } else { part - 9 }) as u32;
        Self {
            year: (of_year + era * 400) as u32 + u32::from(month <= 2),
            month,
            day: (day_of_year - (153 * part + 2) / 5 + 1) as u32,
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: rest % 60,
        }
    }

    /// Now, in Greenwich.
    pub fn utc_now() -> Self {
        Self::utc(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }

    /// In a pattern as ComfyUI's editor reads it: `d`, `M`, `h`, `m` and `s` once or twice, `yy` and `yyyy`; everything
    /// else stays.
    pub fn format(&self, pattern: &str) -> String {
        let (mut done, mut rest) = (String::new(), pattern);
        while let Some(first) = rest.chars().next() {
            let run = rest.chars().take_while(|c| *c == first).count();
            let (count, number) = match first {
                'd' => (run.min(2), Some(self.day)),
                'M' => (run.min(2), Some(self.month)),
                'h' => (run.min(2), Some(self.hour)),
                'm' => (run.min(2), Some(self.minute)),
                's' => (run.min(2), Some(self.second)),
                'y' if run >= 4 => (4, Some(self.year)),
                'y' if run == 2 => (2, Some(self.year % 100)),
                _ => (run, None),
            };
            let (taken, behind) = rest.split_at(count * first.len_utf8());
            match number {
                Some(number) => done.push_str(&format!("{number:0count$}")),
                None => done.push_str(taken),
            }
            rest = behind;
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_dates() {
        let text = |seconds| Moment::utc(seconds).format("yyyy-MM-dd hh:mm:ss");
        assert_eq!(text(0), "1970-01-01 00:00:00");
        assert_eq!(text(951_782_399), "2000-02-28 23:59:59");
        assert_eq!(text(951_782_400), "2000-02-29 00:00:00");
        assert_eq!(text(4_107_542_400), "2100-03-01 00:00:00");
        assert!(Moment::utc_now().year >= 2024);
    }

    #[test]
    fn patterns_are_the_editor_s() {
        let moment = Moment { year: 2031, month: 4, day: 7, hour: 15, minute: 9, second: 26 };
        for (pattern, expected) in [
            ("yyyy-MM-dd", "2031-04-07"),
            ("d.M.yy h:m:s", "7.4.31 15:9:26"),
            ("ddd", "077"),
            ("hhmmss", "150926"),
            ("y yyy äü", "y yyy äü"),
            ("", ""),
        ] {
            assert_eq!(moment.format(pattern), expected, "{pattern}");
        }
    }
}
