//! Frames of real instruments: their checksums were computed by somebody else.

use super::harness::wire;
use crate::astm::link::{checksum, frame};

const CAPTURED: &[&str] = &[
    r"<STX>1H|\^&|||STA_Satlellite_Max^CL78090115^1|||||||P|1|20191129115622<CR><ETX>FA<CR><LF>",
    r"<STX>2P|1<CR><ETX>3F<CR><LF>",
    r"<STX>3O|1|000004782|226||R||||||||||||||||||||F<CR><ETX>D6<CR><LF>",
    r"<STX>4R|1|^^^SPT^F^64|14.02|S||||F||pathof||20190622150404<CR><ETX>E8<CR><LF>",
    r"<STX>5C|1||36^Test Co 24 controls are invalid.|I<CR><ETX>D2<CR><LF>",
    r"<STX>7M|1|SPT||||||STA-NEO CI PLUS 5^254169<CR><ETX>91<CR><LF>",
    r"<STX>1H|\!~|||DxH|||||LIS||P|LIS2-A|20240703125902<CR><ETX>59<CR><LF>",
    r"<STX>1H|\^&|||3600796||||||||LIS2-A|20201111224031<CR><ETX>60<CR><LF>",
    r"<STX>1H|\^&|||ABX|||||||P|E1394-97|20220727121551<CR><ETX>58<CR><LF>",
    r"<STX>2P|1||||^^|||U|||||^||||||||||||^^^<CR><ETX>68<CR><LF>",
    r"<STX>3C|1||<CR><ETX>2B<CR><LF>",
    r"<STX>1L|1|N<CR><ETX>04<CR><LF>",
    r"<STX>7L|1|N<CR><ETX>0A<CR><LF>",
    r"<STX>0R|6|^^^K|4.1|mmol/L<CR><ETX>E0<CR><LF>",
    r"<STX>1R|7|^^^CL|101|mmol/L<CR><ETX>25<CR><LF>",
    r"<STX>1H|\^&|||BRIDGE|||||ANALYZER1||P|LIS2-A2|20250115101501<CR><ETX>BB<CR><LF>",
    r"<STX>2L|1|I<CR><ETX>00<CR><LF>",
    r"<STX>2Q|1|^25011500021|^25011500023|ALL||||||||O<CR><ETX>BC<CR><LF>",
    r"<STX>2Q|1|^25011500021||ALL||||||||A<CR><ETX>2D<CR><LF>",
    r"<STX>3O|1|25011500021||^^^FT4|R||||||C||||||||||||||O<CR><ETX>CC<CR><LF>",
    r"<STX>3O|1|25011500021||^^^FT4|R||||||||||||||||||||X<CR><ETX>92<CR><LF>",
];

#[test]
fn checksums_of_real_frames_fit() {
    for text in CAPTURED {
        let bytes = wire(text);
        let (body, tail) = bytes[1..].split_at(bytes.len() - 5);
        assert_eq!(checksum(body), tail[..2], "{text}");
        let number = body[0] - b'0';
        assert_eq!(
            frame(number, &body[1..body.len() - 1], true),
            bytes,
            "{text}"
        );
    }
}
