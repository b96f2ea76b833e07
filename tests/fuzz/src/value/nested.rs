//! Values made of values.

use super::text::{quoted_element, quoted_field};
use super::{COMPOSITE, COMPOSITES, DOMAIN, DOMAINS, Forms, sized, value, words};
use crate::choices::Choices;

pub(super) fn range(subtype: u32, c: &mut Choices<'_>) -> Forms {
    if c.once_in(8) {
        return (b"empty".to_vec(), vec![1]);
    }
    let mut bound = |infinite: u8, inclusive: u8| {
        if c.once_in(4) {
            return (infinite, Vec::new(), Vec::new());
        }
        let (text, binary) = value(subtype, c);
        let flag = if c.below(2) == 0 { 0 } else { inclusive };
        let text = quoted_field(&text, b"\"\\()[],");
        (flag, text, sized(&binary))
    };
    let (lower_flag, lower, lower_binary) = bound(8, 2);
    let (upper_flag, upper, upper_binary) = bound(16, 4);
    let open = if lower_flag == 2 { b"[" } else { b"(" };
    let close = if upper_flag == 4 { b"]" } else { b")" };
    let text = [&open[..], &lower, b",", &upper, close].concat();
    let flags = [lower_flag | upper_flag];
    (text, [&flags[..], &lower_binary, &upper_binary].concat())
}

pub(super) fn multirange(of: u32, c: &mut Choices<'_>) -> Forms {
    let ranges: Vec<Forms> = (0..c.below(3)).map(|_| value(of, c)).collect();
    let texts: Vec<Vec<u8>> = ranges.iter().map(|(text, _)| text.clone()).collect();
    let mut binary = u32::try_from(ranges.len()).unwrap().to_be_bytes().to_vec();
    for (_, range) in &ranges {
        binary.extend(sized(range));
    }
    ([b"{", &texts.join(&b","[..])[..], b"}"].concat(), binary)
}

pub(super) fn numbers(element: u32, c: &mut Choices<'_>) -> Forms {
    let values: Vec<Forms> = (0..c.below(4)).map(|_| value(element, c)).collect();
    let texts: Vec<Vec<u8>> = values.iter().map(|(text, _)| text.clone()).collect();
    let mut binary = array_head(&[(values.len(), 0)], false, element);
    for (_, value) in &values {
        binary.extend(sized(value));
    }
    (texts.join(&b" "[..]), binary)
}

fn array_head(dimensions: &[(usize, i32)], nulls: bool, element: u32) -> Vec<u8> {
    let count = u32::try_from(dimensions.len()).unwrap();
    let mut head = count.to_be_bytes().to_vec();
    head.extend(u32::from(nulls).to_be_bytes());
    head.extend(element.to_be_bytes());
    for (length, lower) in dimensions {
        head.extend(u32::try_from(*length).unwrap().to_be_bytes());
        head.extend(lower.to_be_bytes());
    }
    head
}

pub(super) fn array(element: u32, c: &mut Choices<'_>) -> Forms {
    let dimensions: Vec<(usize, i32)> = (0..c.of(&[0, 1, 1, 1, 2, 3]))
        .map(|_| (1 + c.below(2), c.of(&[1, 1, 1, 0, -3])))
        .collect();
    let count: usize = dimensions.iter().map(|(length, _)| length).product();
    let count = if dimensions.is_empty() { 0 } else { count };
    let delimiter = if element == 603 { b';' } else { b',' };
    let mut binary = Vec::new();
    let mut texts = Vec::new();
    for _ in 0..count {
        if c.once_in(5) {
            texts.push(b"NULL".to_vec());
            binary.extend([0xFF; 4]);
        } else {
            let (text, value) = value(element, c);
            texts.push(quoted_element(&text, delimiter));
            binary.extend(sized(&value));
        }
    }
    // From the innermost dimension outward.
    for (length, _) in dimensions.iter().rev() {
        let arrays = texts.chunks(*length);
        let array = |of: &[Vec<u8>]| [b"{", &of.join(&[delimiter][..])[..], b"}"].concat();
        texts = arrays.map(array).collect();
    }
    let mut text = Vec::new();
    if dimensions.iter().any(|(_, lower)| *lower != 1) {
        for (length, lower) in &dimensions {
            let upper = i64::from(*lower) + i64::try_from(*length).unwrap() - 1;
            text.extend(format!("[{lower}:{upper}]").into_bytes());
        }
        text.push(b'=');
    }
    match texts.first() {
        Some(array) => text.extend(array),
        None => text.extend(b"{}"),
    }
    (
        text,
        [array_head(&dimensions, true, element), binary].concat(),
    )
}

pub(super) fn composite(parts: &[u32], c: &mut Choices<'_>) -> Forms {
    let mut texts = Vec::new();
    let mut binary = u32::try_from(parts.len()).unwrap().to_be_bytes().to_vec();
    for type_oid in parts {
        binary.extend(type_oid.to_be_bytes());
        if c.once_in(5) {
            texts.push(Vec::new());
            binary.extend([0xFF; 4]);
        } else {
            let (text, value) = value(*type_oid, c);
            texts.push(quoted_field(&text, b"\"\\(),"));
            binary.extend(sized(&value));
        }
    }
    ([b"(", &texts.join(&b","[..])[..], b")"].concat(), binary)
}

pub(super) fn hstore(c: &mut Choices<'_>) -> Forms {
    let count = c.below(4);
    let mut texts = Vec::new();
    let mut binary = u32::try_from(count).unwrap().to_be_bytes().to_vec();
    for index in 0..count {
        let quoted =
            |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let key = format!("{}{index}", words(c));
        binary.extend(sized(key.as_bytes()));
        if c.once_in(4) {
            texts.push(format!("{}=>NULL", quoted(&key)));
            binary.extend([0xFF; 4]);
        } else {
            let value = words(c);
            texts.push(format!("{}=>{}", quoted(&key), quoted(&value)));
            binary.extend(sized(value.as_bytes()));
        }
    }
    (texts.join(", ").into(), binary)
}

pub(super) fn element_of(array: u32) -> u32 {
    match array {
        1000 => 16,
        1001 => 17,
        1002 => 18,
        1005 => 21,
        1007 => 23,
        1009 => 25,
        1014 => 1042,
        1015 => 1043,
        1016 => 20,
        1020 => 603,
        1021 => 700,
        1022 => 701,
        1028 => 26,
        1041 => 869,
        1115 => 1114,
        1182 => 1082,
        1183 => 1083,
        1185 => 1184,
        1187 => 1186,
        1231 => 1700,
        1270 => 1266,
        1561 => 1560,
        1563 => 1562,
        199 => 114,
        2951 => 2950,
        3643 => 3614,
        3807 => 3802,
        3905 => 3904,
        3907 => 3906,
        6150 => 4451,
        COMPOSITES => COMPOSITE,
        DOMAINS => DOMAIN,
        _ => panic!("{array} is no array that can be made"),
    }
}
