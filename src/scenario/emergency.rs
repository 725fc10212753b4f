//! Emergency numbers per country.
//!
//! Sources: the national numbering plans notified to the ITU (E.129), 112 by EU directive 2018/1972 art. 109, 112 and
//! 911 as emergency numbers of every mobile phone by 3GPP TS 22.101 §10.1; compared with the short-number data of
//! Google's libphonenumber (July 2026). Numbers of services that rescue people without being the police, fire brigade
//! or ambulance (coast guard, mountain rescue, crisis lines) are listed too: a probe has nothing to do there.

/// A country and the numbers that a probe must never dial in it.
#[derive(Debug, PartialEq, Eq)]
pub struct Country {
    /// ISO 3166-1 alpha-2.
    pub code: &'static str,
    /// Calling code of E.164, without `+`.
    pub calling: &'static str,
    /// The numbers.
    pub numbers: &'static [&'static str],
}

/// Blocked whatever the country is.
const EVERYWHERE: &[&str] = &["112", "911", "sos"];

macro_rules! countries {
    ($($code:literal $calling:literal $($number:literal)+;)+) => {
        /// The countries that are known, by code.
        pub const COUNTRIES: &[Country] =
            &[$(Country { code: $code, calling: $calling, numbers: &[$($number),+] },)+];
    };
}

countries! {
    "AE" "971" "999" "998" "997" "996" "901";
    "AR" "54" "100" "101" "103" "105" "106" "107" "144";
    "AT" "43" "122" "133" "140" "144";
    "AU" "61" "000" "106";
    "BD" "880" "999" "100" "101" "102" "199";
    "BE" "32" "100" "101" "105" "110";
    "BR" "55" "128" "180" "188" "190" "191" "192" "193" "194" "199";
    "CA" "1" "988";
    "CH" "41" "117" "118" "143" "144" "145" "147" "1414";
    "CL" "56" "131" "132" "133" "134";
    "CN" "86" "110" "119" "120" "122" "12395";
    "CO" "57" "119" "123" "125" "132" "144" "155" "156";
    "CZ" "420" "150" "155" "156" "158";
    "DE" "49" "110" "115116";
    "DK" "45" "114";
    "EG" "20" "122" "123" "126" "128" "180";
    "ES" "34" "061" "062" "080" "085" "088" "091" "092" "016";
    "FI" "358" "116117";
    "FR" "33" "15" "17" "18" "114" "115" "119" "191" "196" "197" "3114" "3919";
    "GB" "44" "999" "101" "111" "18000" "116123";
    "GR" "30" "100" "108" "166" "199";
    "HK" "852" "999" "992";
    "HU" "36" "104" "105" "107";
    "ID" "62" "110" "113" "115" "117" "118" "119" "129";
    "IE" "353" "999" "116123";
    "IL" "972" "100" "101" "102" "104";
    "IN" "91" "100" "101" "102" "103" "108" "181" "1078" "1091" "1098" "1298" "2611";
    "IT" "39" "113" "114" "115" "116" "117" "118" "1530" "1522";
    "JP" "81" "110" "118" "119" "171";
    "KE" "254" "999" "114";
    "KH" "855" "117" "118" "119" "666";
    "KR" "82" "110" "113" "119" "117" "122" "125" "1339";
    "LA" "856" "190" "191" "195";
    "LK" "94" "110" "118" "119" "1990";
    "MM" "95" "191" "192" "199";
    "MO" "853" "999" "110" "119" "120";
    "MX" "52" "060" "065" "066" "068" "080" "089";
    "MY" "60" "999" "991" "994";
    "NG" "234" "199" "767";
    "NL" "31" "113" "116117";
    "NO" "47" "110" "113" "120" "1412";
    "NZ" "64" "111" "105" "1737";
    "PE" "51" "105" "106" "116" "117";
    "PH" "63" "117" "136" "163";
    "PK" "92" "15" "16" "115" "1122" "1130";
    "PL" "48" "986" "991" "992" "993" "994" "997" "998" "999";
    "PT" "351" "115" "117" "1414";
    "RO" "40" "113";
    "RU" "7" "01" "02" "03" "04" "101" "102" "103" "104" "001" "002" "003";
    "SA" "966" "997" "998" "999" "993" "996" "937";
    "SE" "46" "90000" "11414" "116117";
    "SG" "65" "993" "995" "999" "1777";
    "TH" "66" "191" "199" "1155" "1300" "1669" "1784";
    "TR" "90" "110" "122" "155" "156" "158" "177";
    "TW" "886" "110" "113" "118" "119" "165" "1925" "1995";
    "UA" "380" "101" "102" "103" "104";
    "US" "1" "988" "933";
    "VN" "84" "111" "113" "114" "115";
    "ZA" "27" "107" "10111" "10177";
}

/// Ways of beginning an international number (E.164 `+`, and what is dialled for it).
const INTERNATIONAL: &[&str] = &["+", "00", "011", "010", "001", "002", "009", "0011", "810"];

/// The country of this code.
pub fn country(code: &str) -> Option<&'static Country> {
    COUNTRIES.iter().find(|country| country.code == code)
}

/// The emergency number that these digits are, in one of the countries (in any, where none is given).
pub fn find(digits: &str, countries: &[&'static Country]) -> Option<&'static str> {
    // Some equipment takes `#` as the end of dialling and `*` as a service prefix.
    let digits = digits.trim_matches(['#', '*']);
    let all = if countries.is_empty() { COUNTRIES.iter().collect() } else { Vec::new() };
    let known = countries.iter().chain(&all).flat_map(|country| country.numbers);
    EVERYWHERE.iter().chain(known).copied().find(|number| *number == digits)
}

/// What is left of an international number behind its prefix, with and without the country's code.
pub fn without_international<'n>(number: &'n str, countries: &[&'static Country]) -> Vec<&'n str> {
    let mut forms = Vec::new();
    for rest in INTERNATIONAL.iter().filter_map(|prefix| number.strip_prefix(prefix)) {
        forms.push(rest);
        if countries.is_empty() {
            forms.extend(COUNTRIES.iter().filter_map(|country| rest.strip_prefix(country.calling)));
        } else {
            forms.extend(countries.iter().filter_map(|country| rest.strip_prefix(country.calling)));
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_are_sorted_and_their_numbers_are_digits() {
        assert!(COUNTRIES.is_sorted_by(|a, b| a.code < b.code));
        for country in COUNTRIES {
            for number in country.numbers.iter().chain([&country.calling]) {
                assert!(number.bytes().all(|b| b.is_ascii_digit()), "{} {number}", country.code);
            }
        }
    }

    #[test]
    fn the_main_numbers_of_countries_that_people_ask_for_are_known() {
        for (code, numbers) in [
            ("TW", "110 119 112 118"),
            ("US", "911 112"),
            ("CA", "911"),
            ("GB", "999 112"),
            ("DE", "110 112"),
            ("FR", "15 17 18 112"),
            ("JP", "110 118 119"),
            ("VN", "113 114 115"),
            ("CN", "110 119 120 122"),
            ("HK", "999 112"),
            ("SG", "999 995"),
            ("AU", "000 112 106"),
            ("NZ", "111"),
            ("IN", "112 100 101 102 108"),
            ("KR", "112 119"),
            ("TH", "191 199 1669"),
            ("PH", "911 117"),
            ("MY", "999"),
            ("ID", "110 112 113 118 119"),
        ] {
            let country = country(code).expect("known");
            for number in numbers.split(' ') {
                assert_eq!(find(number, &[country]), Some(number), "{code}");
            }
        }
    }
}
