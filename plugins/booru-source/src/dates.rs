//! Days as `2026-03-11`, from the ways in which sites write times.

/// Is this a day as settings have it?
pub(crate) fn is_day(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts.as_slice() else { return false };
    let within = |part: &str, length: usize, most: u32| {
        part.len() == length && part.parse::<u32>().is_ok_and(|n| (1..=most).contains(&n))
    };
    within(year, 4, 9999) && within(month, 2, 12) && within(day, 2, 31)
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The day of `2026-03-11T14:50:39.925-04:00`, or of `Thu Mar 05 02:11:09 -0600 2026`, as the site's own clock has it.
pub(crate) fn of_text(text: &str) -> Option<String> {
    if let Some(day) = text.get(..10).filter(|d| is_day(d)) {
        return Some(day.to_owned());
    }
    let parts: Vec<&str> = text.split_whitespace().collect();
    let [_, month, day, _, _, year] = parts.as_slice() else { return None };
    let month = MONTHS.iter().position(|m| m == month)? + 1;
    let found = format!("{year}-{month:02}-{:0>2}", day);
    is_day(&found).then_some(found)
}

/// The day of a number of seconds since 1970, in UTC.
/// Source: H. Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
pub(crate) fn of_unix(seconds: i64) -> Option<String> {
    let z = seconds.div_euclid(86_400) + 719_468;
    let era = z.div_euclid(146_097);
    let of_era = z.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let found = format!("{year:04}-{month:02}-{day:02}");
    is_day(&found).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_writing_a_time_gives_its_day() {
        assert_eq!(of_text("2026-03-11T14:50:39.925-04:00").as_deref(), Some("2026-03-11"));
        assert_eq!(of_text("Thu Mar 05 02:11:09 -0600 2026").as_deref(), Some("2026-03-05"));
        assert_eq!(of_text("Thu Mar 5 02:11:09 -0600 2026").as_deref(), Some("2026-03-05"));
        for bad in ["", "soon", "2026-13-01T00", "Thu Foo 05 02:11:09 -0600 2026", "äöüäöüäöü"] {
            assert_eq!(of_text(bad), None, "{bad}");
        }
        for (seconds, day) in [(0, "1970-01-01"), (951_782_400, "2000-02-29"), (1_773_240_639, "2026-03-11")] {
            assert_eq!(of_unix(seconds).as_deref(), Some(day));
        }
        assert_eq!(of_unix(i64::MAX / 4), None);
    }
}
