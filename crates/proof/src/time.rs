//! Points in time: in seconds where statements state them, in milliseconds where the registry counts them.
//! This module reads no clock.

use crate::json::FieldError;
use crate::text::shown;
use serde::{Deserialize, Serialize};
use std::fmt::{Display, Formatter};
use std::str::FromStr;

const SECONDS_PER_DAY: i64 = 86_400;

/// Unix time of `9999-12-31T23:59:59Z`, the last second that can be written.
const LAST_SECOND: i64 = 253_402_300_799;

/// A point in time in whole seconds since 1970-01-01T00:00:00Z, without leap seconds.
///
/// Its text is exactly `YYYY-MM-DDTHH:MM:SSZ`, years 1970 to 9999. Serde uses that text in human readable
/// formats and the integer elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seconds(pub i64);

impl Seconds {
    /// The same point in milliseconds; saturates.
    pub fn to_millis(self) -> Millis {
        Millis(self.0.saturating_mul(1000))
    }

    /// `seconds` later; saturates.
    pub fn saturating_add(self, seconds: i64) -> Self {
        Seconds(self.0.saturating_add(seconds))
    }
}

/// A point in time in milliseconds since 1970-01-01T00:00:00Z, without leap seconds. Serde uses the integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub i64);

impl Millis {
    /// The second that contains this point (rounds towards the past).
    pub fn to_seconds(self) -> Seconds {
        Seconds(self.0.div_euclid(1000))
    }

    /// `millis` later; saturates.
    pub fn saturating_add(self, millis: i64) -> Self {
        Millis(self.0.saturating_add(millis))
    }

    /// How many milliseconds this lies after `earlier`, negative if before; saturates.
    pub fn since(self, earlier: Millis) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Display for Millis {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Display for Seconds {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        if !(0..=LAST_SECOND).contains(&self.0) {
            // No such time can be read back. The number is better than a wrong date.
            return write!(f, "@{}", self.0);
        }
        let (days, second) = (self.0.div_euclid(SECONDS_PER_DAY), self.0.rem_euclid(SECONDS_PER_DAY));
        let (year, month, day) = civil_from_days(days);
        let (hour, minute) = (second / 3600, second / 60 % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", second % 60)
    }
}

impl FromStr for Seconds {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        read(text).ok_or_else(|| {
            FieldError::new(
                "",
                format!("must be a time `YYYY-MM-DDTHH:MM:SSZ` since 1970, not `{}`", shown(text)),
            )
        })
    }
}

impl Serialize for Seconds {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_i64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            crate::string_enum::from_text(deserializer, "a time `YYYY-MM-DDTHH:MM:SSZ`")
        } else {
            i64::deserialize(deserializer).map(Seconds)
        }
    }
}

/// Reads exactly `YYYY-MM-DDTHH:MM:SSZ`; no leap second, no other zone, no fraction.
fn read(text: &str) -> Option<Seconds> {
    let bytes = <&[u8; 20]>::try_from(text.as_bytes()).ok()?;
    let shape = b"dddd-dd-ddTdd:dd:ddZ";
    let fits = |(b, s): (&u8, &u8)| if *s == b'd' { b.is_ascii_digit() } else { b == s };
    if !bytes.iter().zip(shape).all(fits) {
        return None;
    }
    let number = |from: usize, until: usize| text.get(from..until)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let valid = year >= 1970
        && (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    valid.then(|| {
        Seconds(days_from_civil(year, month, day) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second)
    })
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

// Both directions follow Howard Hinnant's `days_from_civil`: years start in March, so that the leap day comes
// last, and 400 years ("an era") have always 146 097 days. Only dates from 1970 on reach them, so plain
// division suffices.

/// Days since 1970-01-01 of a valid date from 1970 on.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a day counted from 1970-01-01, not negative.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}
