//! Times of certificates. The authority counts unix milliseconds; certificates and lists have whole seconds.

use time::OffsetDateTime;

/// The last second of the year 9999, the last time that a certificate can have.
const LAST_SECOND: i64 = 253_402_300_799;

/// A time as certificates have it, rounded down to the second; none if it lies before 1970 or after 9999.
pub(super) fn of_ms(ms: i64) -> Option<OffsetDateTime> {
    let seconds = ms.div_euclid(1000);
    if !(0..=LAST_SECOND).contains(&seconds) {
        return None;
    }
    OffsetDateTime::from_unix_timestamp(seconds).ok()
}

/// A time for people: `2027-03-01T12:00:00Z`, or the number if no calendar has it.
pub(super) fn text(ms: i64) -> String {
    let Some(time) = of_ms(ms) else { return format!("{ms} unix milliseconds") };
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second) = time.to_hms();
    format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", u8::from(month))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_utc_and_a_time_of_no_calendar_as_its_number() {
        assert_eq!(text(1_772_366_400_999), "2026-03-01T12:00:00Z");
        assert_eq!(text(0), "1970-01-01T00:00:00Z");
        assert_eq!(text(-1), "-1 unix milliseconds");
        assert_eq!(text(i64::MAX), format!("{} unix milliseconds", i64::MAX));
    }
}
