//! Which country an address names, by its last part.

/// `alpha-2|alpha-3|latitude|longitude|name|name...`, names in the form [`fold`] gives.
const TABLE: &str = include_str!("countries.psv");

/// A country of ISO 3166-1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Country {
    /// Two letters, upper case.
    pub alpha2: &'static str,
    /// Three letters, upper case.
    pub alpha3: &'static str,
    /// Of the country's centre, in degrees.
    pub latitude: f64,
    /// Of the country's centre, in degrees.
    pub longitude: f64,
    names: &'static str,
}

/// The country that the last comma-separated part of an address names, by a code or by a name.
///
/// A trailing comma or full stop and a postal code in that part are ignored, because people write both.
pub fn of_address(address: &str) -> Option<Country> {
    let last = address.split(',').rev().map(fold).find(|part| !part.is_empty())?;
    by_code(&last).or_else(|| by_name(&last)).or_else(|| {
        let without_numbers = last
            .split(' ')
            .filter(|word| !word.chars().all(|c| c.is_ascii_digit()))
            .collect::<Vec<_>>()
            .join(" ");
        by_code(&without_numbers).or_else(|| by_name(&without_numbers))
    })
}

/// The country with this alpha-2 or alpha-3 code, in any case.
pub fn by_code(code: &str) -> Option<Country> {
    countries().find(|country| code.eq_ignore_ascii_case(country.alpha2) || code.eq_ignore_ascii_case(country.alpha3))
}

/// The country whose centre this is, as [`Country`] gives it.
pub fn at(latitude: f64, longitude: f64) -> Option<Country> {
    countries().find(|country| country.latitude == latitude && country.longitude == longitude)
}

/// The countries with a name that begins with this, in the order of their codes; none for blanks.
pub fn beginning_with(text: &str) -> impl Iterator<Item = Country> {
    let beginning = fold(text);
    countries().filter(move |country| {
        !beginning.is_empty() && country.names.split('|').any(|name| name.starts_with(&beginning))
    })
}

impl Country {
    /// Its first name, as it is written.
    pub fn name(&self) -> String {
        let name = self.names.split('|').next().unwrap_or_default();
        let words = name.split(' ').map(|word| {
            let mut letters = word.chars();
            match letters.next() {
                Some(first) if !matches!(word, "and" | "of" | "the") => first.to_uppercase().chain(letters).collect(),
                _ => word.to_owned(),
            }
        });
        words.collect::<Vec<String>>().join(" ")
    }
}

fn by_name(folded: &str) -> Option<Country> {
    countries().find(|country| country.names.split('|').any(|name| name == folded))
}

fn countries() -> impl Iterator<Item = Country> {
    TABLE.lines().filter_map(parse)
}

fn parse(line: &'static str) -> Option<Country> {
    let mut fields = line.splitn(5, '|');
    Some(Country {
        alpha2: fields.next()?,
        alpha3: fields.next()?,
        latitude: fields.next()?.parse().ok()?,
        longitude: fields.next()?.parse().ok()?,
        names: fields.next()?,
    })
}

/// Lower case, punctuation gone, blanks collapsed, without a leading "the". Combining accents go as well: the table holds the
/// names without accents beside the composed ones.
fn fold(part: &str) -> String {
    let mut folded = String::with_capacity(part.len());
    for character in part.chars().flat_map(char::to_lowercase) {
        match character {
            '.' | '\'' | '\u{2019}' | '`' | '\u{b4}' => {}
            '\u{300}'..='\u{36f}' => {}
            '&' => folded.push_str(" and "),
            '-' => folded.push(' '),
            other if other.is_whitespace() => folded.push(' '),
            other => folded.push(other),
        }
    }
    let collapsed = folded.split_whitespace().collect::<Vec<_>>().join(" ");
    collapsed.strip_prefix("the ").map(str::to_owned).unwrap_or(collapsed)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn country_of(address: &str) -> &'static str {
        of_address(address).map_or("", |country| country.alpha2)
    }

    #[test]
    fn every_line_is_a_country_with_its_own_codes_and_names() {
        let all: Vec<Country> = countries().collect();
        assert_eq!(all.len(), TABLE.lines().count(), "a line does not parse");
        assert_eq!(all.len(), 249, "ISO 3166-1 has 249 countries");
        let mut codes = BTreeSet::new();
        let mut names = BTreeMap::new();
        for country in &all {
            assert!(country.alpha2.len() == 2 && country.alpha2.chars().all(|c| c.is_ascii_uppercase()));
            assert!(country.alpha3.len() == 3 && country.alpha3.chars().all(|c| c.is_ascii_uppercase()));
            assert!(codes.insert(country.alpha2) && codes.insert(country.alpha3));
            assert!(
                country.latitude.abs() <= 90.0 && country.longitude.abs() <= 180.0,
                "{}",
                country.alpha2
            );
            for name in country.names.split('|') {
                assert!(name.chars().count() >= 2, "{}: {name:?}", country.alpha2);
                assert_eq!(names.insert(name, country.alpha2), None, "{name} names two countries");
                assert_eq!(country_of(&format!("1 Main Street, {name}")), country.alpha2, "{name}");
            }
        }
    }

    #[test]
    fn the_last_part_decides() {
        assert_eq!(country_of("12 Ly Thuong Kiet, Ha Noi, Vietnam"), "VN");
        assert_eq!(country_of("12 Lý Thường Kiệt, Hà Nội, Việt Nam"), "VN");
        assert_eq!(country_of("12 Ly Thuong Kiet, Ha Noi, VIET NAM."), "VN");
        assert_eq!(country_of("Vietnam Street, Paris, France"), "FR");
        assert_eq!(country_of("1600 Pennsylvania Avenue, Washington, USA"), "US");
        assert_eq!(country_of("10 Downing Street, London, U.K."), "GB");
        assert_eq!(country_of("1 Chome, Tokyo, jp"), "JP");
        assert_eq!(country_of("1 Chome, Tokyo, JPN"), "JP");
        assert_eq!(country_of("Dam 1, Amsterdam, The Netherlands"), "NL");
        assert_eq!(country_of("Abidjan, Côte d’Ivoire"), "CI");
        assert_eq!(country_of("Vietnam"), "VN");
    }

    #[test]
    fn a_composed_and_a_decomposed_accent_are_the_same() {
        assert_eq!(country_of("Hà Nội, Vi\u{1ec7}t Nam"), "VN");
        assert_eq!(country_of("Hà Nội, Vie\u{323}\u{302}t Nam"), "VN");
    }

    #[test]
    fn a_postal_code_and_a_trailing_comma_do_not_hide_the_country() {
        assert_eq!(country_of("Ha Noi, Vietnam 100000"), "VN");
        assert_eq!(country_of("Ha Noi, 100000 VN, "), "VN");
    }

    #[test]
    fn what_is_no_country_stays_unknown() {
        assert_eq!(country_of("12 Ly Thuong Kiet, Ha Noi"), "");
        assert_eq!(country_of("nowhere"), "");
        assert_eq!(country_of("12345"), "");
        assert_eq!(country_of(", ,"), "");
    }

    #[test]
    fn a_centre_leads_back_to_its_country_and_what_lies_beside_it_nowhere() {
        let mut centres = BTreeSet::new();
        for country in countries() {
            let found = at(country.latitude, country.longitude).expect("a country");
            assert_eq!(found, country, "two countries have one centre");
            centres.insert(country.alpha2);
        }
        assert_eq!(centres.len(), 249);
        assert_eq!(at(14.06, 108.29), None);
        assert_eq!(at(0.0, 0.0), None);
    }

    #[test]
    fn the_beginning_of_a_name_finds_the_countries_it_may_be() {
        let found = |text: &str| beginning_with(text).map(|country| country.alpha2).collect::<Vec<_>>();
        assert_eq!(found("Viet"), ["VN"]);
        assert_eq!(found("Việ"), ["VN"]);
        assert!(found("united").starts_with(&["AE", "GB"]), "{:?}", found("united"));
        assert!(found("somewhere over").is_empty() && found("  ").is_empty());
    }

    #[test]
    fn a_name_is_written_as_people_write_it() {
        let name = |code: &str| by_code(code).expect("a country").name();
        assert_eq!(name("vn"), "Viet Nam");
        assert_eq!(name("AG"), "Antigua and Barbuda");
        assert_eq!(name("ae"), "United Arab Emirates");
    }

    #[test]
    fn the_coordinates_are_those_of_the_country() {
        let vietnam = of_address("Ha Noi, VN").expect("a country");
        assert_eq!((vietnam.latitude, vietnam.longitude), (14.06, 108.28));
    }
}
