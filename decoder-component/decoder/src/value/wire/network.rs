//! Addresses: `inet`, `cidr`, `macaddr`, `macaddr8`.

use alloc::vec::Vec;

use super::bytes::Bytes;
use super::number::{write_hex, write_integer};

/// `network_send`, utils/adt/network.c.
pub(super) fn write_inet(bytes: &mut Bytes<'_>, out: &mut Vec<u8>) -> Option<()> {
    let [family, bits, is_cidr, length] = bytes.array()?;
    let bits_max = match (family, length) {
        (PGSQL_AF_INET, 4) => {
            write_ipv4(bytes.array()?, out);
            32
        }
        (PGSQL_AF_INET6, 16) => {
            write_ipv6(bytes.array()?, out);
            128
        }
        _ => return None,
    };
    if bits > bits_max {
        return None;
    }
    if bits != bits_max || is_cidr != 0 {
        out.push(b'/');
        write_integer(bits, out);
    }
    Some(())
}

pub(super) fn write_mac_address(
    bytes: &mut Bytes<'_>,
    length: u8,
    out: &mut Vec<u8>,
) -> Option<()> {
    for (index, byte) in bytes.take(usize::from(length))?.iter().enumerate() {
        if index > 0 {
            out.push(b':');
        }
        write_hex(&[*byte], out);
    }
    Some(())
}

fn write_ipv4(address: [u8; 4], out: &mut Vec<u8>) {
    for (index, byte) in address.into_iter().enumerate() {
        if index > 0 {
            out.push(b'.');
        }
        write_integer(byte, out);
    }
}

/// `inet_net_ntop_ipv6`, `port/inet_net_ntop.c`: the longest run of zeros becomes `::`, and
/// what looks like an embedded IPv4 address is shown as one.
fn write_ipv6(address: [u8; 16], out: &mut Vec<u8>) {
    let (words, _) = address.as_chunks::<2>();
    let zeros_from = |start: usize| {
        let rest = words.get(start..).unwrap_or_default();
        rest.iter().take_while(|word| **word == [0, 0]).count()
    };
    let (mut run, mut run_length) = (0, 0);
    for start in 0..words.len() {
        let length = zeros_from(start);
        if length > run_length {
            (run, run_length) = (start, length);
        }
    }
    if run_length < 2 {
        (run, run_length) = (usize::MAX, 0);
    }
    let [.., w5a, w5b, a, b, c, d] = address;
    let embedded = run == 0
        && (run_length == 6
            || run_length == 7 && [c, d] != [0, 1]
            || run_length == 5 && [w5a, w5b] == [0xFF, 0xFF]);
    for (index, word) in words.iter().enumerate() {
        if index >= run && index - run < run_length {
            if index == run {
                out.push(b':');
            }
            continue;
        }
        if index > 0 {
            out.push(b':');
        }
        if index == 6 && embedded {
            write_ipv4([a, b, c, d], out);
            return;
        }
        let start = out.len();
        write_hex(word, out);
        let digits = out.split_off(start);
        let zeros = digits.iter().take(3).take_while(|&&d| d == b'0').count();
        out.extend_from_slice(digits.get(zeros..).unwrap_or_default());
    }
    if run_length > 0 && run + run_length == words.len() {
        out.push(b':');
    }
}

// utils/inet.h; AF_INET is 2 on every system.
const PGSQL_AF_INET: u8 = 2;
const PGSQL_AF_INET6: u8 = 3;
