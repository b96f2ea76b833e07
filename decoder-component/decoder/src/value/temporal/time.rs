//! `time` and `timetz`.

use alloc::vec::Vec;

use super::{Clock, DAY_US, parse_offset, push_integer};
use crate::error::InvalidValue;

/// How a `time` is shown. `element` is how Debezium shows it in an array: without microseconds, and
/// the end of the day is its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::value) enum TimeStyle {
    /// `12:34:56.789012`
    Iso,
    /// `12:34:56.789012Z`
    IsoZ {
        element: bool,
    },
    Micros {
        element: bool,
    },
    Millis {
        element: bool,
    },
    Nanos {
        element: bool,
    },
}

/// How a `timetz` is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::value) enum TimeTzStyle {
    /// `12:34:56.789012+02:00`
    Iso,
    /// In UTC, `10:34:56.789012Z`; in an array without a fraction.
    Utc { element: bool },
}

pub(in crate::value) fn write_time(
    text: &[u8],
    style: TimeStyle,
    out: &mut Vec<u8>,
) -> Result<(), InvalidValue> {
    let Some((mut clock, [])) = Clock::parse(text) else {
        return Err(InvalidValue { expected: "a time" });
    };
    if let TimeStyle::IsoZ { element: true }
    | TimeStyle::Micros { element: true }
    | TimeStyle::Millis { element: true }
    | TimeStyle::Nanos { element: true } = style
    {
        clock.hour %= 24;
        clock.fraction = clock.fraction.get(..3).unwrap_or(clock.fraction);
    }
    let micros = clock.seconds() * 1_000_000 + clock.fraction_us();
    match style {
        TimeStyle::Micros { .. } => push_integer(micros, out),
        TimeStyle::Millis { .. } => push_integer(micros / 1000, out),
        TimeStyle::Nanos { .. } => push_integer(micros * 1000, out),
        TimeStyle::Iso => {
            out.push(b'"');
            clock.write(out);
            out.push(b'"');
        }
        TimeStyle::IsoZ { .. } => {
            clock.hour %= 24;
            out.push(b'"');
            clock.write(out);
            out.extend_from_slice(b"Z\"");
        }
    }
    Ok(())
}

pub(in crate::value) fn write_timetz(
    text: &[u8],
    style: TimeTzStyle,
    out: &mut Vec<u8>,
) -> Result<(), InvalidValue> {
    let invalid = InvalidValue {
        expected: "a time with time zone",
    };
    let (clock, zone) = Clock::parse(text).ok_or(invalid)?;
    let offset = parse_offset(zone).ok_or(invalid)?;
    out.push(b'"');
    match style {
        TimeTzStyle::Iso => {
            clock.write(out);
            out.extend_from_slice(zone);
            if zone.len() == 3 {
                out.extend_from_slice(b":00");
            }
        }
        TimeTzStyle::Utc { element } => {
            let seconds = (clock.seconds() - offset).rem_euclid(DAY_US / 1_000_000);
            let part = |value: i64| u8::try_from(value).unwrap_or_default();
            let utc = Clock {
                hour: part(seconds / 3600),
                minute: part(seconds / 60 % 60),
                second: part(seconds % 60),
                fraction: if element { &[] } else { clock.fraction },
            };
            utc.write(out);
            out.push(b'Z');
        }
    }
    out.push(b'"');
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    #[test]
    fn times_in_every_style() {
        const MICROS: TimeStyle = TimeStyle::Micros { element: false };
        const ISO_Z: TimeStyle = TimeStyle::IsoZ { element: false };
        for (text, style, expected) in [
            ("12:34:56.789012", MICROS, "45296789012"),
            ("12:34:56.7", MICROS, "45296700000"),
            ("24:00:00", MICROS, "86400000000"),
            (
                "12:34:56.789012",
                TimeStyle::Micros { element: true },
                "45296789000",
            ),
            (
                "12:34:56.789012",
                TimeStyle::Millis { element: false },
                "45296789",
            ),
            ("24:00:00", TimeStyle::Millis { element: true }, "0"),
            (
                "23:59:59.999999",
                TimeStyle::Nanos { element: false },
                "86399999999000",
            ),
            (
                "12:34:56.789012",
                TimeStyle::Nanos { element: true },
                "45296789000000",
            ),
            ("12:34:56.789012", ISO_Z, "\"12:34:56.789012Z\""),
            ("24:00:00", ISO_Z, "\"00:00:00Z\""),
            (
                "12:34:56.789012",
                TimeStyle::IsoZ { element: true },
                "\"12:34:56.789Z\"",
            ),
            ("12:34:56.7", TimeStyle::Iso, "\"12:34:56.7\""),
            ("24:00:00", TimeStyle::Iso, "\"24:00:00\""),
        ] {
            let mut out = Vec::new();
            assert_eq!(
                write_time(text.as_bytes(), style, &mut out),
                Ok(()),
                "{text}"
            );
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{text}");
        }
        for text in ["", "12:34", "12:34:56x", "12:34:56+02", "12:34:5\""] {
            assert!(
                write_time(text.as_bytes(), MICROS, &mut Vec::new()).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn times_with_time_zone_in_every_style() {
        const UTC: TimeTzStyle = TimeTzStyle::Utc { element: false };
        for (text, style, expected) in [
            ("12:34:56.789012+02", UTC, "\"10:34:56.789012Z\""),
            ("12:34:56-07:30", UTC, "\"20:04:56Z\""),
            ("00:30:00+05:45", UTC, "\"18:45:00Z\""),
            ("24:00:00+00", UTC, "\"00:00:00Z\""),
            ("12:00:00+00:19:32", UTC, "\"11:40:28Z\""),
            (
                "12:34:56.789012+02",
                TimeTzStyle::Utc { element: true },
                "\"10:34:56Z\"",
            ),
            ("12:34:56.7+02", TimeTzStyle::Iso, "\"12:34:56.7+02:00\""),
            ("12:34:56-07:30", TimeTzStyle::Iso, "\"12:34:56-07:30\""),
            (
                "12:00:00+00:19:32",
                TimeTzStyle::Iso,
                "\"12:00:00+00:19:32\"",
            ),
        ] {
            let mut out = Vec::new();
            assert_eq!(
                write_timetz(text.as_bytes(), style, &mut out),
                Ok(()),
                "{text}"
            );
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{text}");
        }
        for text in [
            "",
            "12:34:56",
            "12:34:56+2",
            "12:34:56 +02",
            "12:34:56+02\"",
        ] {
            for style in [UTC, TimeTzStyle::Iso] {
                assert!(
                    write_timetz(text.as_bytes(), style, &mut Vec::new()).is_err(),
                    "{text}"
                );
            }
        }
    }
}
