//! Dates in the order that a site chose.

use crate::profile::DateOrder;

/// `YYYYMMDDHHMMSS`, as far as it was said, of a date and a time as sent; `None` where nobody said the
/// order of the date, or where they are none. A year of two digits is of this century: so are the
/// devices.
pub(super) fn written(date: &str, time: &str, order: Option<DateOrder>) -> Option<String> {
    let parts = parts(date, order?)?;
    let [first, second, third] = parts.each_ref().map(String::as_str);
    let (year, month, day) = match order? {
        DateOrder::YearFirst => (first, second, third),
        DateOrder::MonthFirst => (third, first, second),
        DateOrder::DayFirst => (third, second, first),
    };
    let year = match year.len() {
        2 => format!("20{year}"),
        4 => year.to_owned(),
        _ => return None,
    };
    let number = |text: &str| text.parse::<u8>().ok();
    let is_real = (1..=12).contains(&number(month)?) && (1..=31).contains(&number(day)?);
    let clock: String = time.chars().filter(|ch| *ch != ':').collect();
    let is_clock = matches!(clock.len(), 0 | 4 | 6) && is_digits(&clock);
    (is_real && is_clock).then(|| format!("{year}{month:0>2}{day:0>2}{clock}"))
}

/// The three numbers of a date, with or without marks between them.
fn parts(date: &str, order: DateOrder) -> Option<[String; 3]> {
    if is_digits(date) {
        let year = date
            .len()
            .checked_sub(4)
            .filter(|year| matches!(year, 2 | 4))?;
        let lengths = match order {
            DateOrder::YearFirst => [year, 2, 2],
            DateOrder::MonthFirst | DateOrder::DayFirst => [2, 2, year],
        };
        let (first, rest) = date.split_at_checked(lengths[0])?;
        let (second, third) = rest.split_at_checked(lengths[1])?;
        return Some([first, second, third].map(str::to_owned));
    }
    let parts: Vec<&str> = date.split(['/', '-', '.']).collect();
    let is_number = |part: &&str| matches!(part.len(), 1 | 2 | 4) && is_digits(part);
    let parts: [&str; 3] = parts.try_into().ok()?;
    parts
        .iter()
        .all(is_number)
        .then(|| parts.map(str::to_owned))
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_in_the_order_that_the_site_says_and_in_no_other() {
        let check = |date: &str, time: &str, order: Option<DateOrder>, expected: Option<&str>| {
            assert_eq!(
                written(date, time, order).as_deref(),
                expected,
                "{date} {time}"
            );
        };
        let (day, month, year) = (
            Some(DateOrder::DayFirst),
            Some(DateOrder::MonthFirst),
            Some(DateOrder::YearFirst),
        );
        check("03/10/26", "18:35", month, Some("202603101835"));
        check("10/03/2026", "18:35:07", day, Some("20260310183507"));
        check("10.3.26", "", day, Some("20260310"));
        check("260310", "", year, Some("20260310"));
        check("20260310", "0801", year, Some("202603100801"));
        check("03102026", "", month, Some("20260310"));
        check("10/03/26", "18:35", None, None);
        check("25/12/26", "", month, None);
        for odd in [
            "",
            "10/03",
            "1/2/3/4",
            "a/b/c",
            "2603",
            "10/03/026",
            "é/1/26",
        ] {
            check(odd, "", day, None);
        }
        check("10/03/26", "18h35", day, None);
    }
}
