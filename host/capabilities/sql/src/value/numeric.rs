//! PostgreSQL's binary numeric as exact decimal text.

/// Digits a group holds: the wire format is base 10,000.
const GROUP_DIGITS: usize = 4;
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITE: u16 = 0xD000;
const NEGATIVE_INFINITE: u16 = 0xF000;

/// The text PostgreSQL itself would print.
pub(crate) fn to_text(raw: &[u8]) -> Result<String, String> {
    let mut words = raw.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let mut word = || words.next().ok_or_else(|| "a numeric that ends early".to_owned());
    let (groups, weight, sign, scale) = (word()?, word()? as i16, word()?, usize::from(word()?));
    match sign {
        NAN => return Ok("NaN".into()),
        INFINITE => return Ok("Infinity".into()),
        NEGATIVE_INFINITE => return Ok("-Infinity".into()),
        _ => {}
    }
    let groups = (0..groups).map(|_| word()).collect::<Result<Vec<_>, _>>()?;
    // The group of exponent e counts 10,000^e; those that are not sent are zero.
    let group = |exponent: i32| {
        let at = i32::from(weight) - exponent;
        usize::try_from(at)
            .ok()
            .and_then(|at| groups.get(at))
            .copied()
            .unwrap_or(0)
    };
    let mut text = String::with_capacity(groups.len() * GROUP_DIGITS + 3);
    if sign == NEGATIVE {
        text.push('-');
    }
    text.push_str(&group(i32::from(weight).max(0)).to_string());
    for exponent in (0..i32::from(weight).max(0)).rev() {
        text.push_str(&format!("{:04}", group(exponent)));
    }
    if scale > 0 {
        let whole = text.len();
        text.push('.');
        let mut exponent = -1;
        while text.len() - whole - 1 < scale {
            text.push_str(&format!("{:04}", group(exponent)));
            exponent -= 1;
        }
        text.truncate(whole + 1 + scale);
    }
    Ok(text)
}

/// Whether the server would read this text as a number: sign, digits with a point, exponent.
pub(crate) fn is_decimal(text: &str) -> bool {
    if text == "NaN" {
        return true;
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (!whole.is_empty() || !fraction.is_empty())
        && digits(whole)
        && digits(fraction)
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(weight: i16, sign: u16, scale: u16, groups: &[u16]) -> Vec<u8> {
        let head = [groups.len() as u16, weight as u16, sign, scale];
        head.iter().chain(groups).flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn the_wire_format_reads_as_the_server_prints_it() {
        let cases = [
            (wire(0, 0, 0, &[]), "0"),
            (wire(0, 0, 2, &[]), "0.00"),
            (wire(0, NEGATIVE, 1, &[1, 5000]), "-1.5"),
            (wire(1, 0, 0, &[12]), "120000"),
            (wire(-1, 0, 4, &[12]), "0.0012"),
            (wire(-2, 0, 8, &[12]), "0.00000012"),
            (wire(1, 0, 5, &[1, 2345, 6789]), "12345.67890"),
            (wire(0, NAN, 0, &[]), "NaN"),
        ];
        for (raw, expected) in cases {
            assert_eq!(to_text(&raw).as_deref(), Ok(expected));
        }
        assert!(to_text(&[0, 1, 0, 0, 0, 0, 0, 0]).is_err(), "a group is missing");
        assert!(to_text(&[0]).is_err());
    }

    #[test]
    fn only_numbers_are_decimals() {
        for good in ["0", "-1", "+1.50", ".5", "5.", "1e9", "1.2E-3", "NaN"] {
            assert!(is_decimal(good), "{good}");
        }
        for bad in ["", "-", ".", "1,5", "0x10", "1e", "e5", "1 ", "Infinity", "١"] {
            assert!(!is_decimal(bad), "{bad}");
        }
    }
}
