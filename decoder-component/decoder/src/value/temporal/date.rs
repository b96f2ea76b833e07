//! `date`.

use alloc::vec::Vec;

use super::{Date, push_integer, quoted, split_era};
use crate::error::InvalidValue;

/// How a `date` is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::value) enum DateStyle {
    /// `2024-02-29`
    Iso,
    /// `2024-02-29Z`, in arrays as Debezium has it there.
    IsoZ { element: bool },
    /// Days since 1970-01-01, in arrays as Debezium has it there.
    Days { element: bool },
}

pub(in crate::value) fn write_date(
    text: &[u8],
    style: DateStyle,
    out: &mut Vec<u8>,
) -> Result<(), InvalidValue> {
    if let (DateStyle::Days { element }, Ok(text)) = (style, <[u8; 10]>::try_from(text))
        && let Some(days) = Date::common_days(text)
        && !(element && Date::is_java_gap(days))
    {
        push_integer(days, out);
        return Ok(());
    }
    let infinite = match text {
        b"infinity" => Some(false),
        b"-infinity" => Some(true),
        _ => None,
    };
    if let Some(negative) = infinite {
        write_infinite(negative, style, out);
        return Ok(());
    }
    let (digits, before_christ) = split_era(text);
    let element = matches!(
        style,
        DateStyle::Days { element: true } | DateStyle::IsoZ { element: true }
    );
    // An array's elements go another way in Debezium, where the era gets lost.
    let parsed = Date::parse(digits, before_christ && !element);
    let Some((mut date, [])) = parsed else {
        return Err(InvalidValue { expected: "a date" });
    };
    if element {
        date = date.in_java_calendar();
    }
    match style {
        DateStyle::Days { .. } => push_integer(date.days(), out),
        DateStyle::Iso | DateStyle::IsoZ { .. } => {
            out.push(b'"');
            date.write(out);
            out.extend_from_slice(if style == DateStyle::Iso {
                b"\""
            } else {
                b"Z\""
            });
        }
    }
    Ok(())
}

/// Debezium's numbers come from dates of Java's that are far away and overflow.
fn write_infinite(negative: bool, style: DateStyle, out: &mut Vec<u8>) {
    match (style, negative) {
        (DateStyle::Iso, false) => quoted(b"infinity", out),
        (DateStyle::Iso, true) => quoted(b"-infinity", out),
        (DateStyle::IsoZ { element: false }, false) => quoted(b"-5877611-06-21Z", out),
        (DateStyle::IsoZ { element: false }, true) => quoted(b"-5877611-06-22Z", out),
        (DateStyle::IsoZ { element: true }, false) => quoted(b"+292278994-08-16Z", out),
        (DateStyle::IsoZ { element: true }, true) => quoted(b"+292269055-12-02Z", out),
        (DateStyle::Days { element: false }, false) => push_integer(-2_147_472_692, out),
        (DateStyle::Days { element: false }, true) => push_integer(-2_147_472_691, out),
        (DateStyle::Days { element: true }, false) => push_integer(-622_191_234, out),
        (DateStyle::Days { element: true }, true) => push_integer(-625_821_272, out),
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    const DAYS: DateStyle = DateStyle::Days { element: false };
    const DAYS_IN_ARRAY: DateStyle = DateStyle::Days { element: true };
    const ISO_Z: DateStyle = DateStyle::IsoZ { element: false };
    const ISO_Z_IN_ARRAY: DateStyle = DateStyle::IsoZ { element: true };

    #[test]
    fn dates_in_every_style() {
        for (text, style, expected) in [
            ("2024-02-29", DAYS, "19782"),
            ("0044-03-15 BC", DAYS, "-735160"),
            ("0044-03-15 BC", DAYS_IN_ARRAY, "-703383"),
            ("infinity", DAYS, "-2147472692"),
            ("infinity", DAYS_IN_ARRAY, "-622191234"),
            ("1582-10-10", DAYS, "-141432"),
            ("1582-10-10", DAYS_IN_ARRAY, "-141422"),
            ("1582-10-04", DAYS_IN_ARRAY, "-141438"),
            ("1582-10-05", ISO_Z_IN_ARRAY, "\"1582-10-15Z\""),
            ("infinity", ISO_Z_IN_ARRAY, "\"+292278994-08-16Z\""),
            ("10000-01-01", ISO_Z, "\"+10000-01-01Z\""),
            ("0044-03-15 BC", ISO_Z, "\"-0043-03-15Z\""),
            ("-infinity", ISO_Z, "\"-5877611-06-22Z\""),
            ("2024-02-29", DateStyle::Iso, "\"2024-02-29\""),
            ("0044-03-15 BC", DateStyle::Iso, "\"-0043-03-15\""),
            ("5874897-12-31", DateStyle::Iso, "\"+5874897-12-31\""),
            ("-infinity", DateStyle::Iso, "\"-infinity\""),
        ] {
            let mut out = Vec::new();
            assert_eq!(
                write_date(text.as_bytes(), style, &mut out),
                Ok(()),
                "{text}"
            );
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{text}");
        }
        for text in [
            "",
            "2024-02-29x",
            "2024-02-29 AD",
            "now",
            "\"",
            "99999999-01-01",
        ] {
            for style in [DAYS, ISO_Z, DateStyle::Iso] {
                assert!(
                    write_date(text.as_bytes(), style, &mut Vec::new()).is_err(),
                    "{text}"
                );
            }
        }
    }
}
