//! Texts as they are read and written.

use proptest::prelude::*;

use super::RESULT;
use crate::{
    sysmex_legacy::{Align, Column, Dialect, Kind, Layout, TextLayout, Use, join, read, write},
    transcript::shown,
};

/// The example's layout as a site would complete it: with points, for its units.
fn layout() -> Layout {
    let mut layout = Layout::kx21();
    for column in &mut layout.texts[0].columns {
        let points = match column.name.as_str() {
            "WBC" | "HGB" => 1,
            "RBC" => 2,
            "PLT" => 0,
            "HCT" => 3,
            _ => continue,
        };
        column.kind = Kind::Number {
            decimals: Some(points),
            has_flag: true,
        };
    }
    layout
}

#[test]
fn a_result_has_its_sample_and_every_parameter_as_sent() {
    let layout = layout();
    assert_eq!(layout.check(), Ok(()));
    let (lines, notes) = read(RESULT.as_bytes(), &layout).expect("it is read");
    assert_eq!(notes, []);
    let [line] = lines.as_slice() else {
        panic!("{lines:?}");
    };
    assert_eq!(line.layout.map(|text| text.used_for), Some(Use::Patient));
    let cell = |name: &str| line.cell(name).expect("there is such a column");
    assert_eq!(cell("date").raw(), b"261128");
    assert_eq!(cell("sample_id").raw(), b"        4711");
    assert_eq!(cell("WBC").raw(), b"00710");
    assert_eq!(cell("WBC").value(), b"0071");
    assert_eq!(cell("WBC").flag(), Some(b'0'));
    assert_eq!(cell("WBC").scaled().as_deref(), Some("7.1"));
    assert_eq!(cell("RBC").scaled().as_deref(), Some("4.52"));
    assert_eq!(cell("RBC").flag(), Some(b'3'));
    assert_eq!(cell("HGB").scaled().as_deref(), Some("14.8"));
    assert_eq!(cell("HCT").scaled().as_deref(), Some("0.400"));
    assert_eq!(cell("HCT").flag(), Some(b' '));
    assert_eq!(cell("P-LCR").value(), b"*250");
    assert_eq!(cell("P-LCR").flag(), Some(b'1'));
    let span = cell("RBC").span();
    assert_eq!(RESULT.as_bytes().get(span), Some(&b"04523"[..]));
}

#[test]
fn a_number_whose_point_nobody_knows_has_digits_and_no_value() {
    let layout = Layout::kx21();
    let (lines, _) = read(RESULT.as_bytes(), &layout).expect("it is read");
    let wbc = lines[0].cell("WBC").expect("there is such a column");
    assert_eq!(wbc.value(), b"0071");
    assert_eq!(wbc.scaled(), None);
}

#[test]
fn what_is_not_all_digits_has_no_value() {
    let column = |decimals| TextLayout {
        code: "D1U".to_owned(),
        used_for: Use::Patient,
        columns: vec![Column {
            name: "WBC".to_owned(),
            width: 5,
            kind: Kind::Number {
                decimals: Some(decimals),
                has_flag: true,
            },
        }],
    };
    let scaled = |text: &str, decimals| {
        let layout = Layout {
            texts: vec![column(decimals)],
        };
        let (lines, _) = read(text.as_bytes(), &layout).expect("it is read");
        let cell = lines[0].cell("WBC").expect("there is such a column");
        cell.scaled()
    };
    assert_eq!(scaled("D1U00710", 1).as_deref(), Some("7.1"));
    assert_eq!(scaled("D1U00000", 2).as_deref(), Some("0.00"));
    assert_eq!(scaled("D1U12340", 0).as_deref(), Some("1234"));
    for odd in [
        "D1U****1", "D1U----0", "D1U    0", "D1U 0710", "D1U071 0", "D1U0+710",
    ] {
        assert_eq!(scaled(odd, 1), None, "{odd}");
    }
}

#[test]
fn lines_of_one_text_are_told_by_their_codes() {
    let layout = layout();
    let text = format!("DI01021.00  XN\r\n{RESULT}\r\nD3U SERBC");
    let (lines, notes) = read(text.as_bytes(), &layout).expect("it is read");
    assert_eq!(lines.len(), 3);
    let codes: Vec<_> = notes.iter().map(|note| (note.code, note.at)).collect();
    assert_eq!(codes, [("SYX-0201", 0), ("SYX-0201", 137)]);
    assert_eq!(lines[0].layout, None);
    assert_eq!(lines[0].raw(), b"DI01021.00  XN");
    assert_eq!(
        text.as_bytes().get(lines[2].span()),
        Some(&b"D3U SERBC"[..])
    );
    assert_eq!(lines[1].cells.len(), 23);
}

#[test]
fn a_query_names_its_sample_and_place() {
    let layout = Layout::xn_query();
    assert_eq!(layout.check(), Ok(()));
    let text = "R1000              123456780000004201000000000000000000000000";
    let (lines, _) = read(text.as_bytes(), &layout).expect("it is read");
    let cell = |name: &str| lines[0].cell(name).expect("there is such a column").value();
    assert_eq!(cell("sample_id"), b"12345678");
    assert_eq!(cell("rack"), b"000042");
    assert_eq!(cell("position"), b"01");
    assert_eq!(lines[0].layout.map(|text| text.used_for), Some(Use::Query));
}

#[test]
fn what_cannot_be_read_safely_is_refused_whole() {
    let layout = layout();
    let code = |text: &str| read(text.as_bytes(), &layout).expect_err("refused").code();
    assert_eq!(code(""), "SYX-0301");
    assert_eq!(code("\r\n"), "SYX-0301");
    assert_eq!(code(&"x\r\n".repeat(300)), "SYX-0301");
    // One character lost: every column after it would be another's.
    assert_eq!(
        code(RESULT.strip_suffix("1").expect("its flag")),
        "SYX-0302"
    );
    assert_eq!(code(&format!("{RESULT} ")), "SYX-0302");
    assert_eq!(code(&format!("{RESULT}\r\n{RESULT}")), "SYX-0303");
}

#[test]
fn layouts_that_cannot_work_are_refused() {
    let with = |change: fn(&mut Layout)| {
        let mut layout = Layout::kx21();
        change(&mut layout);
        layout.check().expect_err("refused").code()
    };
    let second = |code: &str| TextLayout {
        code: code.to_owned(),
        ..Layout::kx21().texts[0].clone()
    };
    assert_eq!(with(|layout| layout.texts[0].code.clear()), "SYX-0502");
    let mut same = Layout::kx21();
    same.texts.push(second("D1"));
    assert_eq!(same.check().expect_err("refused").code(), "SYX-0502");
    assert_eq!(with(|layout| layout.texts[0].columns.clear()), "SYX-0503");
    assert_eq!(
        with(|layout| layout.texts[0].columns[0].width = 70_000),
        "SYX-0503"
    );
    assert_eq!(
        with(|layout| layout.texts[0].columns[0].name.clear()),
        "SYX-0504"
    );
    assert_eq!(
        with(|layout| layout.texts[0].columns[0].name = "WBC".to_owned()),
        "SYX-0504"
    );
    assert_eq!(
        with(|layout| layout.texts[0].columns[0].width = 0),
        "SYX-0505"
    );
    let number = |layout: &mut Layout| {
        layout.texts[0].columns[5].kind = Kind::Number {
            decimals: Some(4),
            has_flag: true,
        };
    };
    assert_eq!(with(number), "SYX-0505");
}

#[test]
fn dialects_that_cannot_work_are_refused() {
    assert_eq!(Dialect::default().check(), Ok(()));
    let dialect = Dialect {
        sends_max: 0,
        ..Dialect::default()
    };
    assert_eq!(dialect.check().expect_err("refused").code(), "SYX-0501");
}

#[test]
fn a_line_is_written_column_by_column() {
    let query = &Layout::xn_query().texts[0];
    let values: [(&str, &[u8]); 3] = [
        ("sample_id", b"12345678"),
        ("rack", b"000042"),
        ("position", b"01"),
    ];
    let written = write(query, &values).expect("written");
    assert_eq!(
        shown(&written),
        "R1000              123456780000004201 00000000000000000000000"
    );
    let both = join(&[written.clone(), written]).expect("joined");
    assert!(shown(&both).contains("000<CR><LF>R1000"));
}

#[test]
fn what_does_not_fit_is_refused_and_never_cut() {
    let text = &Layout::kx21().texts[0];
    let code = |values: &[(&str, &[u8])]| write(text, values).expect_err("refused").code();
    assert_eq!(code(&[("sample_id", b"1234567890123")]), "SYX-0401");
    assert_eq!(code(&[("WBC", b"071")]), "SYX-0401");
    assert_eq!(code(&[("sample_id", b"1\x02")]), "SYX-0402");
    assert_eq!(code(&[("none", b"1")]), "SYX-0403");
    assert_eq!(code(&[("date", b"1"), ("date", b"2")]), "SYX-0403");
    assert_eq!(join(&[]).expect_err("refused").code(), "SYX-0404");
}

fn column(at: usize) -> impl Strategy<Value = (Column, Option<Vec<u8>>)> {
    let value = |width: usize| {
        let byte =
            any::<u8>().prop_filter("it can stand there", |byte| *byte > b' ' && *byte != 0x7F);
        prop::collection::vec(byte, width)
    };
    let name = format!("c{at}");
    let text =
        (1..12_usize, any::<bool>(), 0..12_usize).prop_flat_map(move |(width, left, fill)| {
            let align = if left { Align::Left } else { Align::Right };
            let column = Column::text(&name, width, align);
            (Just(column), prop::option::of(value(fill.min(width))))
        });
    let name = format!("c{at}");
    let number = (1..8_usize, any::<bool>()).prop_flat_map(move |(digits, has_flag)| {
        let column = Column {
            name: name.clone(),
            width: digits + usize::from(has_flag),
            kind: Kind::Number {
                decimals: None,
                has_flag,
            },
        };
        let width = column.width;
        (Just(column), prop::option::of(value(width)))
    });
    let reserved = (1..5_usize).prop_map(|width| (Column::reserved(width, b'0'), None));
    prop_oneof![3 => text, 3 => number, 1 => reserved]
}

fn columns() -> impl Strategy<Value = Vec<(Column, Option<Vec<u8>>)>> {
    (1..12_usize).prop_flat_map(|count| (0..count).map(column).collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_it_was_meant(columns in columns()) {
        let text = TextLayout {
            code: "D1U".to_owned(),
            used_for: Use::Other,
            columns: columns.iter().map(|(column, _)| column.clone()).collect(),
        };
        let layout = Layout { texts: vec![text] };
        prop_assert_eq!(layout.check(), Ok(()));
        let mut values: Vec<(&str, &[u8])> = Vec::new();
        for (column, value) in &columns {
            if let Some(value) = value {
                values.push((&column.name, value));
            }
        }
        let written = write(&layout.texts[0], &values).expect("it is written");
        let (lines, notes) = read(&written, &layout).expect("it is read");
        prop_assert_eq!(notes, []);
        for (name, value) in values {
            let cell = lines[0].cell(name).expect("there is such a column");
            match cell.column.kind {
                Kind::Text(_) => prop_assert_eq!(cell.value(), value),
                Kind::Number { .. } | Kind::Reserved(_) => prop_assert_eq!(cell.raw(), value),
            }
            prop_assert_eq!(written.get(cell.span()), Some(cell.raw()));
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let layout = layout();
        for bytes in [bytes.clone(), [RESULT.as_bytes(), &bytes].concat()] {
            if let Ok((lines, _)) = read(&bytes, &layout) {
                for cell in lines.iter().flat_map(|line| &line.cells) {
                    prop_assert_eq!(bytes.get(cell.span()), Some(cell.raw()));
                    let _scaled = cell.scaled();
                }
            }
        }
    }
}
