use proptest::prelude::*;

use super::*;

fn is_single_byte(set: Charset) -> bool {
    set != Charset::Utf8 && set.is_ascii_superset()
}

/// The characters of bytes 0x80 to 0xFF; `None` where the byte is refused.
fn high_half(set: Charset) -> Vec<Option<char>> {
    (0x80..=0xFF_u8)
        .map(|byte| {
            let bytes = [byte];
            let text = set.decode(&bytes).ok()?;
            assert_eq!(text.chars().count(), 1, "{set} {byte:#x}");
            text.chars().next()
        })
        .collect()
}

#[test]
fn every_label_reads_back_and_none_is_shared() {
    let mut names: Vec<&str> = vec![];
    for (set, label, aliases) in LABELS {
        assert_eq!(Charset::from_label(label), Some(*set), "{label}");
        assert_eq!(set.label(), *label);
        names.extend(aliases.iter().copied());
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "a name stands for two sets");
}

#[test]
fn labels_of_files_and_of_hl7_table_0211_are_known() {
    for (label, set) in [
        ("iso-8859-1", Charset::Latin1),
        ("ISO8859-15", Charset::Iso8859_15),
        ("utf-8", Charset::Utf8),
        ("cp1251", Charset::Windows1251),
        ("windows-1258", Charset::Windows1258),
        ("ASCII", Charset::Ascii),
        ("8859/1", Charset::Latin1),
        ("8859/2", Charset::Iso8859_2),
        ("8859/9", Charset::Iso8859_9),
        ("8859/15", Charset::Iso8859_15),
        ("UNICODE", Charset::Utf8),
        ("UNICODE UTF-8", Charset::Utf8),
        ("GB 18030-2000", Charset::Gb18030),
        ("BIG-5", Charset::Big5),
        ("KS X 1001", Charset::EucKr),
        ("ISO IR6", Charset::Ascii),
    ] {
        assert_eq!(Charset::from_label(label), Some(set), "{label}");
    }
    for unknown in ["", "UNICODE UTF-16", "8859/11", "ISO IR87", "martian"] {
        assert_eq!(Charset::from_label(unknown), None, "{unknown}");
    }
}

#[test]
fn ascii_bytes_are_themselves_in_every_set() {
    let ascii: Vec<u8> = (0..0x80).collect();
    for set in Charset::all() {
        assert_eq!(set.decode(&ascii).unwrap().as_bytes(), ascii, "{set}");
        assert_eq!(
            set.encode(&set.decode(&ascii).unwrap()).unwrap(),
            ascii,
            "{set}"
        );
    }
}

#[test]
fn every_byte_of_a_single_byte_set_is_refused_or_comes_back() {
    for set in Charset::all().filter(|set| is_single_byte(*set)) {
        for byte in 0..=0xFF_u8 {
            match set.decode(&[byte]) {
                Ok(text) => assert_eq!(set.encode(&text), Ok(vec![byte]), "{set} {byte:#x}"),
                Err(error) => assert_eq!(
                    error,
                    DecodeError {
                        charset: set,
                        at: 0
                    }
                ),
            }
        }
    }
}

#[test]
fn refused_bytes_are_those_the_code_pages_leave_unassigned() {
    // Counts from the published tables of ISO 8859 and of the Windows code pages.
    for (set, refused) in [
        (Charset::Ascii, 128),
        (Charset::Latin1, 0),
        (Charset::Iso8859_2, 0),
        (Charset::Iso8859_3, 7),
        (Charset::Iso8859_5, 0),
        (Charset::Iso8859_6, 45),
        (Charset::Iso8859_7, 3),
        (Charset::Iso8859_8, 36),
        (Charset::Iso8859_9, 0),
        (Charset::Iso8859_15, 0),
        (Charset::Windows1250, 5),
        (Charset::Windows1251, 1),
        (Charset::Windows1252, 5),
        (Charset::Windows1254, 7),
        (Charset::Windows1256, 0),
        (Charset::Windows1258, 9),
        (Charset::Koi8R, 0),
        (Charset::Cp437, 0),
        (Charset::Cp850, 0),
    ] {
        let found = high_half(set).iter().filter(|c| c.is_none()).count();
        assert_eq!(found, refused, "{set}");
    }
}

#[test]
fn latin1_is_unicode_and_not_windows_1252() {
    let all: Vec<Option<char>> = (0x80..=0xFF_u32).map(char::from_u32).collect();
    assert_eq!(high_half(Charset::Latin1), all);
    assert_eq!(Charset::Latin1.decode(b"\x80").unwrap(), "\u{80}");
    assert_eq!(Charset::Windows1252.decode(b"\x80").unwrap(), "€");
    assert!(Charset::Latin1.encode("€").is_err());
}

#[test]
fn the_micro_sign_is_where_each_page_has_it() {
    for (set, bytes) in [
        (Charset::Latin1, &b"\xB5g"[..]),
        (Charset::Windows1252, b"\xB5g"),
        (Charset::Cp437, b"\xE6g"),
        (Charset::Cp850, b"\xE6g"),
        (Charset::Utf8, b"\xC2\xB5g"),
    ] {
        assert_eq!(set.decode(bytes).unwrap(), "µg", "{set}");
        assert_eq!(set.encode("µg").unwrap(), bytes, "{set}");
    }
}

#[test]
fn whole_pages_hold_what_their_makers_print() {
    let page = |set| high_half(set).into_iter().flatten().collect::<String>();
    let cp437 = page(Charset::Cp437);
    assert!(cp437.starts_with("ÇüéâäàåçêëèïîìÄÅ") && cp437.ends_with("≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}"));
    let cp850 = page(Charset::Cp850);
    assert!(cp850.starts_with("ÇüéâäàåçêëèïîìÄÅ") && cp850.ends_with("\u{ad}±‗¾¶§÷¸°¨·¹³²■\u{a0}"));
    assert!(page(Charset::Windows1251).ends_with("рстуфхцчшщъыьэюя"));
    assert!(page(Charset::Windows1258).ends_with("đñ\u{323}óôơö÷øùúûüư₫ÿ"));
    assert!(page(Charset::Iso8859_9).ends_with("ğñòóôõö÷øùúûüışÿ"));
    assert_eq!(cp437.chars().count(), 128);
    assert_eq!(cp850.chars().count(), 128);
}

#[test]
fn a_byte_that_does_not_decode_is_named_by_its_offset() {
    for (set, bytes, at) in [
        (Charset::Ascii, &b"abc\xB5"[..], 3),
        (Charset::Utf8, b"ab\xC3(", 2),
        (Charset::Utf8, b"\xEF\xBB\xBFab\xFF", 5),
        (Charset::Utf8, b"ab\xE1\xBA", 2),
        (Charset::Windows1252, b"\xE9\x81", 1),
        (Charset::Windows1258, b"a\xD2\xFF\x8A", 3),
        (Charset::Iso8859_7, b"\xC1\xD2", 1),
        (Charset::Gb18030, b"a\xC4\xE3\xFF", 3),
        (Charset::Gb18030, b"a\xC4\xE3\x81", 3),
    ] {
        assert_eq!(
            set.decode(bytes),
            Err(DecodeError { charset: set, at }),
            "{set} {bytes:?}"
        );
    }
}

#[test]
fn a_byte_order_mark_is_no_text() {
    assert_eq!(
        Charset::Utf8.decode(b"\xEF\xBB\xBFL\xC3\xAA").unwrap(),
        "Lê"
    );
}

#[test]
fn a_character_that_cannot_be_held_is_named_by_its_offset() {
    for (set, text, at, ch) in [
        (Charset::Ascii, "Lê", 1, 'ê'),
        (Charset::Latin1, "é€", 2, '€'),
        (Charset::Windows1252, "\u{81}", 0, '\u{81}'),
        (Charset::Cp437, "μ", 0, 'μ'),
        (Charset::Windows1258, "Lê 中", 4, '中'),
    ] {
        assert_eq!(
            set.encode(text),
            Err(EncodeError {
                charset: set,
                at,
                ch
            }),
            "{set} {text}"
        );
    }
}

#[test]
fn windows_1258_holds_vietnamese_in_either_normal_form() {
    let bytes = b"Nguy\xEA\xDEn Th\x69\xF2 \xD0\xEA\xCC";
    assert_eq!(Charset::Windows1258.decode(bytes).unwrap(), "Nguyễn Thị Đề");
    for text in ["Nguyễn Thị Đề", "Nguyê\u{303}n Thi\u{323} Đê\u{300}"] {
        assert_eq!(Charset::Windows1258.encode(text).unwrap(), bytes, "{text}");
    }
}

#[test]
fn windows_1258_takes_full_nfd_in_names() {
    let nfd = "Nguye\u{302}\u{303}n";
    assert_eq!(
        Charset::Windows1258.encode_or_transliterate(nfd),
        (b"Nguy\xEA\xDEn".to_vec(), false)
    );
}

#[test]
fn names_lose_their_marks_only_where_they_must() {
    let name = "Nguyễn Thị Bé Đặng";
    for (set, bytes, is_changed) in [
        (Charset::Ascii, &b"Nguyen Thi Be Dang"[..], true),
        (Charset::Latin1, b"Nguyen Thi B\xE9 Dang", true),
        (
            Charset::Windows1258,
            b"Nguy\xEA\xDEn Thi\xF2 B\xE9 \xD0\xE3\xF2ng",
            false,
        ),
        (Charset::Utf8, name.as_bytes(), false),
    ] {
        assert_eq!(
            set.encode_or_transliterate(name),
            (bytes.to_vec(), is_changed),
            "{set}"
        );
    }
    let question = Charset::Ascii.encode_or_transliterate("Lê 中 x\u{304}");
    assert_eq!(question, (b"Le ? x".to_vec(), true));
}

#[test]
fn transliteration_covers_both_normal_forms() {
    for (text, plain) in [
        ("Nguyễn Văn Đức", "Nguyen Van Duc"),
        (
            "Nguye\u{302}\u{303}n Va\u{306}n Đư\u{301}c",
            "Nguyen Van Duc",
        ),
        ("TRẦN THỊ ƯỚC ĐỖ", "TRAN THI UOC DO"),
        ("Müller 中", "Müller 中"),
        ("", ""),
    ] {
        assert_eq!(transliterate(text), plain);
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic_and_what_decodes_encodes(bytes: Vec<u8>) {
        for set in Charset::all() {
            match set.decode(&bytes) {
                Ok(text) => {
                    if is_single_byte(set) && set != Charset::Windows1258 {
                        prop_assert_eq!(set.encode(&text), Ok(bytes.clone()));
                    }
                    let again = set.encode(&text).ok();
                    if let Some(again) = again {
                        prop_assert_eq!(set.decode(&again).unwrap(), text);
                    }
                }
                Err(error) => prop_assert!(error.at < bytes.len()),
            }
        }
    }

    #[test]
    fn random_text_that_encodes_decodes_to_itself(text: String) {
        for set in Charset::all().filter(|set| *set != Charset::Windows1258) {
            if let Ok(bytes) = set.encode(&text) {
                let mark = if set == Charset::Utf8 { '\u{feff}' } else { '\0' };
                let expected = text.strip_prefix(mark).filter(|_| mark != '\0').unwrap_or(&text);
                prop_assert_eq!(set.decode(&bytes).unwrap(), expected);
            }
            let (bytes, _) = set.encode_or_transliterate(&text);
            prop_assert!(set.decode(&bytes).is_ok());
        }
    }
}
