//! Specimens, containers, reagents and controls, and how a test is run: SPM, SAC, INV, TCD and SID
//! (HL7 v2.5.1 7.4.3, 13.4.3, 13.4.4, 13.4.10, 13.4.11), with the fields of later versions that
//! analyzers use already.

use super::{
    tables::{
        ArtificialBlood, ContainerStatus, Contaminant, EnvironmentalFactor, RepeatStatus,
        SpecialHandling, SpecimenComponent, SpecimenRole, SubstanceStatus, SubstanceType,
        Treatment,
    },
    views::segment_views,
};

segment_views! {
    /// SPM: what was collected.
    Specimen SpecimenDraft SPM last 35 requires [] {
        1 set_id text "set id";
        2 id eip "specimen id, the placer's and the filler's";
        3 parent_ids list "ids of the parent specimens";
        4 kind parts "specimen type";
        5 modifiers list "modifiers of the type";
        6 additives list "additives";
        7 collection_method parts "collection method";
        8 source_site parts "source site";
        9 source_modifiers list "modifiers of the source site";
        10 collection_site parts "collection site";
        11 role codes SpecimenRole "specimen role";
        12 amount parts "collected amount";
        13 grouped_count text "grouped specimen count";
        14 description list "description";
        15 handling list "handling codes";
        16 risk list "risk codes";
        17 collected parts "start and end of collection";
        18 received text "date and time of receipt";
        19 expires text "date and time of expiry";
        20 is_available text "whether the specimen is available, `Y` or `N`";
        21 reject_reasons list "reasons for rejection";
        22 quality parts "quality";
        23 appropriateness parts "appropriateness";
        24 conditions list "conditions";
        25 current_quantity parts "current quantity";
        26 container_count text "number of containers";
        27 container_type parts "container type";
        28 container_condition parts "container condition";
        29 child_role parts "role of the child specimen";
    }

    /// SAC: the container, where it is and what is in it.
    Container ContainerDraft SAC last 49 requires [] {
        1 external_accession_id parts "external accession id";
        2 accession_id parts "accession id";
        3 id parts "container id, the barcode";
        4 primary_id parts "id of the primary (parent) container";
        5 equipment_id parts "id of the container on the equipment";
        6 specimen_source parts "specimen source, before SPM";
        7 registered text "registration date and time";
        8 status code ContainerStatus "container status";
        9 carrier_type parts "carrier type";
        10 carrier_id parts "carrier id";
        11 carrier_position parts "position in the carrier, `n` or `x^y`";
        12 tray_type parts "tray type";
        13 tray_id parts "tray id";
        14 tray_position parts "position in the tray, `n` or `x^y`";
        15 location list "location, the lowest level first";
        16 height text "height";
        17 diameter text "diameter";
        18 barrier_delta text "distance from the reference point to the barrier";
        19 bottom_delta text "distance from the reference point to the bottom";
        20 length_units parts "units of height, diameter and deltas";
        21 container_volume text "container volume";
        22 available_volume text "available specimen volume";
        23 initial_volume text "initial specimen volume";
        24 volume_units parts "units of the volumes";
        25 separator_type parts "separator type";
        26 cap_type parts "cap type";
        27 additives list "additives";
        28 component code SpecimenComponent "specimen component";
        29 dilution parts "dilution factor (SN), `^1^:^5`; `^1^+` diluted by an unknown factor";
        30 treatment code Treatment "treatment";
        31 temperature parts "temperature (SN)";
        32 hemolysis_index text "haemolysis index";
        33 hemolysis_units parts "units of the haemolysis index";
        34 lipemia_index text "lipaemia index";
        35 lipemia_units parts "units of the lipaemia index";
        36 icterus_index text "icterus index";
        37 icterus_units parts "units of the icterus index";
        38 fibrin_index text "fibrin index";
        39 fibrin_units parts "units of the fibrin index";
        40 contaminants codes Contaminant "contaminants that the system caused";
        41 drug_interference list "drug interference";
        42 artificial_blood code ArtificialBlood "artificial blood";
        43 special_handling codes SpecialHandling "special handling";
        44 environmental_factors codes EnvironmentalFactor "other environmental factors";
        45 length parts "length (2.9)";
        46 width parts "width (2.9)";
        47 form parts "form (2.9)";
        48 material parts "material (2.9)";
        49 common_name parts "common name (2.9)";
    }

    /// INV: one reagent, control, waste container and so on.
    Substance SubstanceDraft INV last 20 requires [1, 2] {
        1 id parts "substance id";
        2 status codes SubstanceStatus "substance status";
        3 kind code SubstanceType "substance type";
        4 container_id parts "inventory container id";
        5 carrier_id parts "container carrier id";
        6 carrier_position parts "position on the carrier";
        7 initial_quantity text "initial quantity";
        8 current_quantity text "current quantity";
        9 available_quantity text "available quantity";
        10 consumption text "consumption quantity";
        11 units parts "units of the quantities";
        12 expires text "expiration date and time";
        13 first_used text "date and time of first use";
        14 stability_duration parts "on board stability duration, before 2.5";
        15 test_ids list "tests or fluids it is for";
        16 lot text "manufacturer's lot number";
        17 manufacturer parts "manufacturer";
        18 supplier parts "supplier";
        19 stability_time parts "on board stability time (CQ)";
        20 target_value parts "target value (CQ)";
    }

    /// TCD: how a test is run, or was.
    TestDetail TestDetailDraft TCD last 11 requires [1] {
        1 service parts "universal service id";
        2 auto_dilution parts "auto-dilution factor (SN)";
        3 rerun_dilution parts "rerun dilution factor (SN)";
        4 pre_dilution parts "pre-dilution factor (SN)";
        5 endogenous_content parts "endogenous content of the pre-dilution diluent (SN)";
        6 repeat_allowed text "whether automatic repeats are allowed, `Y` or `N`";
        7 reflex_allowed text "whether reflex tests are allowed, `Y` or `N`";
        8 repeat_status code RepeatStatus "analyte repeat status";
        9 consumption parts "specimen consumption quantity (CQ), of 2.8 and used earlier in IHE LAW";
        10 pool_size text "pool size (2.9)";
        11 auto_dilution_type parts "auto-dilution type (2.9)";
    }

    /// SID: which substance was used.
    SubstanceUse SubstanceUseDraft SID last 4 requires [] {
        1 method parts "application or method id";
        2 lot text "substance lot number";
        3 container_id text "substance container id";
        4 manufacturer parts "substance manufacturer";
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hl7::{
        Message,
        build::{Header, MessageBuilder, SegmentWriter},
        views::{Draft, Fault},
    };

    /// A message of one segment.
    fn written(segment: impl Draft) -> String {
        let mut builder = MessageBuilder::new(&Header::default());
        let writer: &SegmentWriter = segment.writer();
        builder.push(writer.clone());
        builder.finish().unwrap()
    }

    #[track_caller]
    fn check(segment: impl Draft, expected: &str) {
        let text = written(segment);
        assert_eq!(text.split('\r').nth(1), Some(expected));
    }

    #[test]
    fn every_segment_is_written_in_the_places_of_the_standard() {
        check(
            SpecimenDraft::new()
                .set_id("1")
                .id(&["25011500021", "BRIDGE"], &[])
                .kind(&["SER", "Serum", "HL70487"])
                .role(SpecimenRole::Patient)
                .collected(&["20250115094000"]),
            "SPM|1|25011500021&BRIDGE||SER^Serum^HL70487|||||||P^Patient^HL70369||||||20250115094000",
        );
        check(
            ContainerDraft::new()
                .id(&["25011500021"])
                .status(ContainerStatus::Identified)
                .carrier_id(&["PUCK0231"])
                .carrier_position(&["1"])
                .location(&["BL1"])
                .location(&["LINE 2"])
                .dilution(&["", "1", ":", "5"])
                .special_handling(SpecialHandling::Upright)
                .special_handling(SpecialHandling::Other("ZZZ")),
            concat!(
                "SAC|||25011500021|||||I^Identified^HL70370||PUCK0231|1||||BL1~LINE 2",
                "||||||||||||||^1^:^5||||||||||||||UPR^Upright^HL70376~ZZZ",
            ),
        );
        check(
            SubstanceDraft::new()
                .id(&["R-TSH", "TSH reagent", "99LAB"])
                .status(SubstanceStatus::Ok)
                .kind(SubstanceType::SingleTestReagent)
                .expires("20250630")
                .lot("LOT123")
                .target_value(&["2.1", "mIU/L"]),
            concat!(
                "INV|R-TSH^TSH reagent^99LAB|OK^OK Status^HL70383|SR^Single Test Reagent^HL70384",
                "|||||||||20250630||||LOT123||||2.1^mIU/L",
            ),
        );
        check(
            TestDetailDraft::new()
                .service(&["TSH", "TSH", "99LAB"])
                .auto_dilution(&["", "1", ":", "5"])
                .repeat_status(RepeatStatus::Reflex)
                .consumption(&["850", "uL"]),
            "TCD|TSH^TSH^99LAB|^1^:^5||||||F^Reflex test^HL70389|850^uL",
        );
        check(
            SubstanceUseDraft::new()
                .method(&["M1"])
                .lot("L2")
                .container_id("C3")
                .manufacturer(&["X"]),
            "SID|M1|L2|C3|X",
        );
    }

    /// A message of one segment whose field n is the number n.
    fn numbered(name: &str, last: usize) -> String {
        let fields: Vec<_> = (1..=last).map(|n| n.to_string()).collect();
        format!("MSH|^~\\&|A\r{name}|{}\r", fields.join("|"))
    }

    /// In the order of the chapter's table (F.2), by its names and not by the numbers above.
    #[test]
    fn every_field_of_a_container_stands_where_the_chapter_puts_it() {
        let text = numbered("SAC", 49);
        let message = Message::parse(&text).unwrap().0;
        let sac = Container::new(message.segments()[1]);
        let code = |code: Option<ContainerStatus<'_>>| code.unwrap().code().to_owned();
        let fields = [
            sac.external_accession_id(),
            sac.accession_id(),
            sac.id(),
            sac.primary_id(),
            sac.equipment_id(),
            sac.specimen_source(),
            sac.registered(),
        ];
        check_numbers(1, &fields);
        assert_eq!(code(sac.status()), "8");
        let fields = [
            sac.carrier_type(),
            sac.carrier_id(),
            sac.carrier_position(),
            sac.tray_type(),
            sac.tray_id(),
            sac.tray_position(),
            sac.location(),
            sac.height(),
            sac.diameter(),
            sac.barrier_delta(),
            sac.bottom_delta(),
            sac.length_units(),
            sac.container_volume(),
            sac.available_volume(),
            sac.initial_volume(),
            sac.volume_units(),
            sac.separator_type(),
            sac.cap_type(),
            sac.additives(),
        ];
        check_numbers(9, &fields);
        assert_eq!(sac.component().unwrap().code(), "28");
        check_numbers(29, &[sac.dilution()]);
        assert_eq!(sac.treatment().unwrap().code(), "30");
        let fields = [
            sac.temperature(),
            sac.hemolysis_index(),
            sac.hemolysis_units(),
            sac.lipemia_index(),
            sac.lipemia_units(),
            sac.icterus_index(),
            sac.icterus_units(),
            sac.fibrin_index(),
            sac.fibrin_units(),
        ];
        check_numbers(31, &fields);
        assert_eq!(sac.contaminants().next().unwrap().code(), "40");
        check_numbers(41, &[sac.drug_interference()]);
        assert_eq!(sac.artificial_blood().unwrap().code(), "42");
        assert_eq!(sac.special_handling().next().unwrap().code(), "43");
        assert_eq!(sac.environmental_factors().next().unwrap().code(), "44");
        let fields = [
            sac.length(),
            sac.width(),
            sac.form(),
            sac.material(),
            sac.common_name(),
        ];
        check_numbers(45, &fields);
    }

    #[track_caller]
    fn check_numbers(first: usize, fields: &[crate::hl7::Field<'_>]) {
        for (n, field) in (first..).zip(fields) {
            assert_eq!(field.raw(), n.to_string());
        }
    }

    #[test]
    fn every_field_of_a_substance_and_a_test_detail_stands_where_the_chapter_puts_it() {
        let text = numbered("INV", 20);
        let message = Message::parse(&text).unwrap().0;
        let inv = Substance::new(message.segments()[1]);
        check_numbers(1, &[inv.id()]);
        assert_eq!(inv.status().next().unwrap().code(), "2");
        assert_eq!(inv.kind().unwrap().code(), "3");
        let fields = [
            inv.container_id(),
            inv.carrier_id(),
            inv.carrier_position(),
            inv.initial_quantity(),
            inv.current_quantity(),
            inv.available_quantity(),
            inv.consumption(),
            inv.units(),
            inv.expires(),
            inv.first_used(),
            inv.stability_duration(),
            inv.test_ids(),
            inv.lot(),
            inv.manufacturer(),
            inv.supplier(),
            inv.stability_time(),
            inv.target_value(),
        ];
        check_numbers(4, &fields);
        let text = numbered("TCD", 9);
        let message = Message::parse(&text).unwrap().0;
        let tcd = TestDetail::new(message.segments()[1]);
        let fields = [
            tcd.service(),
            tcd.auto_dilution(),
            tcd.rerun_dilution(),
            tcd.pre_dilution(),
            tcd.endogenous_content(),
            tcd.repeat_allowed(),
            tcd.reflex_allowed(),
        ];
        check_numbers(1, &fields);
        assert_eq!(tcd.repeat_status().unwrap().code(), "8");
        check_numbers(9, &[tcd.consumption()]);
        let text = numbered("SID", 4);
        let message = Message::parse(&text).unwrap().0;
        let sid = SubstanceUse::new(message.segments()[1]);
        let fields = [
            sid.method(),
            sid.lot(),
            sid.container_id(),
            sid.manufacturer(),
        ];
        check_numbers(1, &fields);
    }

    #[test]
    fn every_field_of_a_specimen_stands_where_the_chapter_puts_it() {
        let text = numbered("SPM", 29);
        let message = Message::parse(&text).unwrap().0;
        let spm = Specimen::new(message.segments()[1]);
        let fields = [
            spm.set_id(),
            spm.id(),
            spm.parent_ids(),
            spm.kind(),
            spm.modifiers(),
            spm.additives(),
            spm.collection_method(),
            spm.source_site(),
        ];
        check_numbers(1, &fields);
        assert_eq!(spm.role().next().unwrap().code(), "11");
        let fields = [
            spm.amount(),
            spm.grouped_count(),
            spm.description(),
            spm.handling(),
            spm.risk(),
            spm.collected(),
            spm.received(),
            spm.expires(),
            spm.is_available(),
            spm.reject_reasons(),
            spm.quality(),
            spm.appropriateness(),
            spm.conditions(),
            spm.current_quantity(),
            spm.container_count(),
            spm.container_type(),
            spm.container_condition(),
            spm.child_role(),
        ];
        check_numbers(12, &fields);
    }

    #[test]
    fn every_fault_of_a_segment_is_named_with_its_field() {
        let text = concat!(
            "MSH|^~\\&|A\rINV||OK~ZZ|SR^^HL70384|||||||||||||||||\"\"|x\r",
            "SAC|||1|||||\"\"\rSAC|||1|||||K\r",
        );
        let message = Message::parse(text).unwrap().0;
        let segments = message.segments();
        assert_eq!(
            Substance::new(segments[1]).faults(),
            [
                (1, Fault::Missing),
                (2, Fault::UnknownCode),
                (21, Fault::Beyond)
            ]
        );
        assert_eq!(Container::new(segments[2]).faults(), []);
        assert_eq!(Container::new(segments[2]).status(), None);
        assert_eq!(
            Container::new(segments[3]).status(),
            Some(ContainerStatus::Other("K"))
        );
        let substance = Substance::new(segments[1]);
        assert_eq!(
            substance.status().collect::<Vec<_>>(),
            [SubstanceStatus::Ok, SubstanceStatus::Other("ZZ")]
        );
        assert_eq!(substance.kind(), Some(SubstanceType::SingleTestReagent));
    }

    proptest! {
        #[test]
        fn a_container_reads_as_it_was_written(texts in proptest::collection::vec(any::<String>(), 6)) {
            let [a, b, c, d, e, f] = texts.as_slice() else { unreachable!() };
            let text = written(
                ContainerDraft::new()
                    .id(&[a, b])
                    .carrier_position(&[c, d])
                    .location(&["x", e])
                    .location(&["y", f])
                    .available_volume(a)
                    .status(ContainerStatus::Left)
                    .component(SpecimenComponent::Plasma)
                    .contaminants(Contaminant::Present),
            );
            let (message, notes) = Message::parse(&text).unwrap();
            prop_assert!(notes.is_empty() && message.segments().len() == 2);
            let read = Container::new(message.segments()[1]);
            prop_assert_eq!(read.id().component(1).text(), a.as_str());
            prop_assert_eq!(read.id().component(2).text(), b.as_str());
            prop_assert_eq!(read.carrier_position().component(2).text(), d.as_str());
            prop_assert_eq!(read.location().repeat(1).component(2).text(), e.as_str());
            prop_assert_eq!(read.location().repeat(2).component(2).text(), f.as_str());
            prop_assert_eq!(read.available_volume().text(), a.as_str());
            prop_assert_eq!(read.status(), Some(ContainerStatus::Left));
            prop_assert_eq!(read.component(), Some(SpecimenComponent::Plasma));
            prop_assert_eq!(read.contaminants().collect::<Vec<_>>(), [Contaminant::Present]);
            prop_assert_eq!(read.faults(), []);
        }
    }
}
