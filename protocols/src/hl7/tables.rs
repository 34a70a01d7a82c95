//! Code tables of orders, specimens, containers and equipment (HL7 v2.5.1 2.C), as enums that keep
//! a code they do not know.
//!
//! A code is compared as sent, escapes not resolved: no table has a delimiter in a code. What a peer
//! sends in addition (its own text, an alternate code) stays in the segment.

/// A table: which codes it has, how one is read, how it is written.
macro_rules! code_tables {
    ($(
        $(#[$doc:meta])*
        $table:ident $system:literal { $($variant:ident $code:literal $text:literal;)* }
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $table<'a> {
            $(
                #[doc = concat!("`", $code, "`: ", $text, ".")]
                $variant,
            )*
            /// A code that the table does not have, as sent.
            Other(&'a str),
        }

        impl<'a> $table<'a> {
            /// How a message names the table.
            pub const SYSTEM: &'static str = $system;
            /// Every code that the table has.
            pub const ALL: &'static [$table<'static>] = &[$($table::$variant),*];

            /// Reads a code; one that the table does not have is kept.
            pub fn read(code: &'a str) -> Self {
                match code {
                    $($code => Self::$variant,)*
                    other => Self::Other(other),
                }
            }

            /// The code as it stands in a message.
            pub const fn code(self) -> &'a str {
                match self {
                    $(Self::$variant => $code,)*
                    Self::Other(code) => code,
                }
            }

            /// What the table calls it; empty for a code that it does not have.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other(_) => "",
                }
            }

            /// Whether the table has it.
            pub const fn is_known(self) -> bool {
                !matches!(self, Self::Other(_))
            }

            /// Code, text and system, as a writer takes them. The table is not named for a code
            /// that it does not have.
            pub const fn parts(self) -> [&'a str; 3] {
                match self {
                    Self::Other(code) => [code, "", ""],
                    _ => [self.code(), self.text(), $system],
                }
            }
        }
    )*

        /// Every table with its codes and texts, for the test that compares them with the chapter.
        #[cfg(test)]
        fn all_tables() -> Vec<(&'static str, Vec<(&'static str, &'static str)>)> {
            vec![$((
                $system,
                $table::ALL.iter().map(|code| (code.code(), code.text())).collect(),
            )),*]
        }

        /// Reads every code of every table again, and one that none has.
        #[cfg(test)]
        fn check_all_tables() {
            $(
                for code in $table::ALL {
                    assert_eq!($table::read(code.code()), *code);
                    assert!(code.is_known() && code.parts()[2] == $system);
                }
                let other = $table::read("no such");
                assert_eq!((other.code(), other.is_known()), ("no such", false));
                assert_eq!(other.parts(), ["no such", "", ""]);
            )*
        }
    };
}

code_tables! {
    /// Table 0038, ORC-5: how far an order has come.
    OrderStatus "HL70038" {
        SomeResults "A" "Some, but not all, results available";
        Cancelled "CA" "Order was canceled";
        Completed "CM" "Order is completed";
        Discontinued "DC" "Order was discontinued";
        Error "ER" "Error, order not found";
        Held "HD" "Order is on hold";
        InProcess "IP" "In process, unspecified";
        Replaced "RP" "Order has been replaced";
        Scheduled "SC" "In process, scheduled";
    }

    /// Table 0085, OBX-11: what an observation is worth. In IHE LAW `F` is the candidate for
    /// reporting and `R` the result of a run that is not.
    ResultStatus "HL70085" {
        Corrected "C" "Record coming over is a correction and thus replaces a final result";
        Deleted "D" "Deletes the OBX record";
        Final "F" "Final results";
        Pending "I" "Specimen in lab; results pending";
        NotAsked "N" "Not asked";
        OrderDetail "O" "Order detail description only (no result)";
        Preliminary "P" "Preliminary results";
        NotVerified "R" "Results entered, not verified";
        Partial "S" "Partial results";
        BecomesFinal "U" "Results status change to final without retransmitting results";
        Wrong "W" "Post original as wrong";
        Unobtainable "X" "Results cannot be obtained for this observation";
    }

    /// Table 0369, SPM-11: what a specimen is there for. `U` is an addition of IHE LAW for the
    /// answer to a query that found no order.
    SpecimenRole "HL70369" {
        Blind "B" "Blind Sample";
        Calibrator "C" "Calibrator";
        ElectronicControl "E" "Electronic QC";
        FillerProficiency "F" "Filler Organization Proficiency";
        Group "G" "Group";
        Pool "L" "Pool";
        OperatorProficiency "O" "Operator Proficiency";
        Patient "P" "Patient";
        Control "Q" "Control specimen";
        Replicate "R" "Replicate";
        Unknown "U" "";
        VerifyingCalibrator "V" "Verifying Calibrator";
    }

    /// Table 0365, EQU-3: what an equipment is doing.
    EquipmentState "HL70365" {
        Clearing "CL" "Clearing";
        Configuring "CO" "Configuring";
        EmergencyStopped "ES" "E-stopped";
        Idle "ID" "Idle";
        Initializing "IN" "Initializing";
        NormalOperation "OP" "Normal Operation";
        Pausing "PA" "Pausing";
        Paused "PD" "Paused";
        PoweredUp "PU" "Powered Up";
    }

    /// Table 0366, EQU-4: who controls an equipment.
    ControlState "HL70366" {
        Local "L" "Local";
        Remote "R" "Remote";
    }

    /// Table 0367, EQU-5 and NDS-3: how loud an alert is.
    AlertLevel "HL70367" {
        Critical "C" "Critical";
        Normal "N" "Normal";
        Serious "S" "Serious";
        Warning "W" "Warning";
    }

    /// Table 0368, ECD-2 and ISD-2: what an equipment is told to do.
    RemoteControl "HL70368" {
        Abort "AB" "Abort";
        Clear "CL" "Clear";
        ClearNotification "CN" "Clear Notification";
        DisableEvents "DI" "Disable Sending Events";
        EnableEvents "EN" "Enable Sending Events";
        EmergencyStop "ES" "Emergency stop";
        Execute "EX" "Execute";
        Initialize "IN" "Initialize";
        LocalControl "LC" "Local Control Request";
        Lock "LK" "Lock";
        Load "LO" "Load";
        Pause "PA" "Pause";
        RemoteControl "RC" "Remote Control Request";
        Resume "RE" "Resume";
        Sampling "SA" "Sampling";
        Setup "SU" "Setup";
        TransportTo "TT" "Transport To";
        Unlock "UC" "Unlock";
        Unload "UN" "Unload";
    }

    /// Table 0370, SAC-8: where a container is in its life.
    ContainerStatus "HL70370" {
        Identified "I" "Identified";
        Left "L" "Left Equipment";
        Missing "M" "Missing";
        InProcess "O" "In Process";
        InPosition "P" "In Position";
        Completed "R" "Process Completed";
        Unknown "U" "Unknown";
        Unavailable "X" "Container Unavailable";
    }

    /// Table 0372, SAC-28: what part of a specimen the container holds.
    SpecimenComponent "HL70372" {
        WholeBlood "BLD" "Whole blood, homogeneous";
        Separated "BSEP" "Whole blood, separated";
        Plasma "PLAS" "Plasma, NOS";
        PlateletPoorPlasma "PPP" "Platelet poor plasma";
        PlateletRichPlasma "PRP" "Platelet rich plasma";
        Sediment "SED" "Sediment";
        Serum "SER" "Serum, NOS";
        Supernatant "SUP" "Supernatant";
    }

    /// Table 0373, SAC-30: what was done to a specimen.
    Treatment "HL70373" {
        Acidification "ACID" "Acidification";
        Alkalization "ALK" "Alkalization";
        Defibrination "DEFB" "Defibrination";
        Filtration "FILT" "Filtration";
        LdlPrecipitation "LDLP" "LDL Precipitation";
        Neutralization "NEUT" "Neutralization";
        Recalcification "RECA" "Recalcification";
        Ultrafiltration "UFIL" "Ultrafiltration";
    }

    /// Table 0374, SAC-40: contamination that the system caused.
    Contaminant "HL70374" {
        Present "CNTM" "Present, type of contamination unknown";
    }

    /// Table 0375, SAC-42: artificial blood in the specimen.
    ArtificialBlood "HL70375" {
        Fluorocarbons "FLUR" "Fluorocarbons";
        StromalFreeHemoglobin "SFHB" "Stromal free hemoglobin preparations";
    }

    /// Table 0376, SAC-43: how a container wants to be handled.
    SpecialHandling "HL70376" {
        Ambient "AMB" "Ambient temperature";
        BodyTemperature "C37" "Body temperature";
        CriticalAmbient "CAMB" "Critical ambient temperature";
        ProtectFromAir "CATM" "Protect from air";
        CriticalFrozen "CFRZ" "Critical frozen temperature";
        CriticalRefrigerated "CREF" "Critical refrigerated temperature";
        DeepFrozen "DFRZ" "Deep frozen";
        Dry "DRY" "Dry";
        Frozen "FRZ" "Frozen temperature";
        MetalFree "MTLF" "Metal Free";
        LiquidNitrogen "NTR" "Liquid nitrogen";
        ProtectFromLight "PRTL" "Protect from light";
        DoNotShake "PSA" "Do not shake";
        NoShock "PSO" "No shock";
        Refrigerated "REF" "Refrigerated temperature";
        UltraFrozen "UFRZ" "Ultra frozen";
        Upright "UPR" "Upright";
    }

    /// Table 0377, SAC-44: what else the specimen was exposed to.
    EnvironmentalFactor "HL70377" {
        OpenedSixtyMinutes "A60" "Opened container, indoor atmosphere, 60 minutes duration";
        Opened "ATM" "Opened container, atmosphere and duration unspecified";
    }

    /// Table 0383, INV-2: whether a substance can be used.
    SubstanceStatus "HL70383" {
        CalibrationError "CE" "Calibration Error";
        CalibrationWarning "CW" "Calibration Warning";
        ExpiredError "EE" "Expired Error";
        ExpiredWarning "EW" "Expired Warning";
        NotAvailableError "NE" "Not Available Error";
        NotAvailableWarning "NW" "Not Available Warning";
        OtherError "OE" "Other Error";
        Ok "OK" "OK Status";
        OtherWarning "OW" "Other Warning";
        ControlError "QE" "QC Error";
        ControlWarning "QW" "QC Warning";
    }

    /// Table 0384, INV-3: what a substance is.
    SubstanceType "HL70384" {
        Control "CO" "Control";
        Diluent "DI" "Diluent";
        Liquid "LI" "Measurable Liquid Item";
        LiquidWaste "LW" "Liquid Waste";
        MultiTestReagent "MR" "Multiple Test Reagent";
        OtherSubstance "OT" "Other";
        Pretreatment "PT" "Pretreatment";
        PurifiedWater "PW" "Purified Water";
        ReagentCalibrator "RC" "Reagent Calibrator";
        Countable "SC" "Countable Solid Item";
        SingleTestReagent "SR" "Single Test Reagent";
        SolidWaste "SW" "Solid Waste";
    }

    /// Table 0387, ECR-1 and ISD-3: what became of a command.
    CommandResponse "HL70387" {
        Error "ER" "Command cannot be completed because of error condition";
        Ok "OK" "Command completed successfully";
        WrongState "ST" "Command cannot be completed because of the equipment state";
        OutOfTime "TI" "Command cannot be completed within requested completion time";
        Unknown "UN" "Command cannot be completed for unknown reasons";
    }

    /// Table 0388, TCC-14: what the settings of a test are for.
    ProcessingType "HL70388" {
        Evaluation "E" "Evaluation";
        Production "P" "Production";
    }

    /// Table 0389, TCD-8: which measurement of an analyte it is.
    RepeatStatus "HL70389" {
        RepeatDiluted "D" "Repeated with dilution";
        Reflex "F" "Reflex test";
        Original "O" "Original, first run";
        Repeat "R" "Repeated without dilution";
    }

    /// Table 0450, EQP-1: what a log entry is.
    LogEvent "HL70450" {
        Log "LOG" "Log Event";
        Service "SER" "Service Event";
    }

    /// Table 0485, TQ1-9: how soon.
    Priority "HL70485" {
        Asap "A" "ASAP";
        Callback "C" "Callback";
        Preop "P" "Preop";
        AsNeeded "PRN" "As needed";
        Routine "R" "Routine";
        Stat "S" "Stat";
        TimingCritical "T" "Timing critical";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_and_an_unknown_one_is_kept() {
        check_all_tables();
    }

    #[test]
    fn no_table_names_a_code_twice() {
        for (system, codes) in all_tables() {
            let mut seen: Vec<_> = codes.iter().map(|(code, _)| code).collect();
            let len = seen.len();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), len, "{system}");
        }
    }

    /// The codes of PROTOCOLS F.3 and D.3, copied from there and not from above.
    #[test]
    fn the_tables_have_the_codes_of_the_chapter() {
        let chapter = [
            ("HL70038", "A CA CM DC ER HD IP RP SC"),
            ("HL70085", "R P F C X D W U I N O S"),
            ("HL70365", "PU IN ID CO OP CL PA PD ES"),
            ("HL70366", "L R"),
            ("HL70367", "N W S C"),
            (
                "HL70368",
                "AB CL CN DI EN ES EX IN LC LK LO PA RC RE SA SU TT UC UN",
            ),
            ("HL70369", "P Q C L B E F O R G V U"),
            ("HL70370", "I P O R L M X U"),
            ("HL70372", "BLD BSEP PLAS PPP PRP SED SER SUP"),
            ("HL70373", "ACID ALK DEFB FILT LDLP NEUT RECA UFIL"),
            ("HL70374", "CNTM"),
            ("HL70375", "FLUR SFHB"),
            (
                "HL70376",
                "AMB C37 CAMB CATM CFRZ CREF DFRZ DRY FRZ MTLF NTR PRTL PSA PSO REF UFRZ UPR",
            ),
            ("HL70377", "A60 ATM"),
            ("HL70383", "OK CE CW EE EW QE QW NE NW OE OW"),
            ("HL70384", "CO DI LI LW MR OT PT PW RC SC SR SW"),
            ("HL70387", "OK ER ST TI UN"),
            ("HL70388", "P E"),
            ("HL70389", "O R D F"),
            ("HL70450", "LOG SER"),
            ("HL70485", "S A R P C T PRN"),
        ];
        let mut tables = all_tables();
        tables.sort_unstable();
        assert_eq!(tables.len(), chapter.len());
        for ((system, codes), (named, listed)) in tables.into_iter().zip(chapter) {
            let mut codes: Vec<_> = codes.into_iter().map(|(code, _)| code).collect();
            let mut listed: Vec<_> = listed.split(' ').collect();
            codes.sort_unstable();
            listed.sort_unstable();
            assert_eq!((system, codes), (named, listed));
        }
    }
}
