//! What came of settling, counted.

/// What became of a message's items, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Settled {
    /// On their way to a host.
    pub released: u32,
    /// Waiting for a person.
    pub held: u32,
    /// Waiting for an order.
    pub waiting: u32,
    /// Nobody ordered them.
    pub kept: u32,
    /// Sent before.
    pub repeats: u32,
    /// Measured again with the same value.
    pub confirmed: u32,
    /// Controls and calibrations.
    pub controls: u32,
    /// Device events, unreadable parts.
    pub events: u32,
    /// Host queries.
    pub queries: u32,
    /// Pictures.
    #[serde(default, skip_serializing_if = "is_none")]
    pub images: u32,
}

impl std::ops::Add for Settled {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl std::ops::AddAssign for Settled {
    fn add_assign(&mut self, other: Self) {
        self.released += other.released;
        self.held += other.held;
        self.waiting += other.waiting;
        self.kept += other.kept;
        self.repeats += other.repeats;
        self.confirmed += other.confirmed;
        self.controls += other.controls;
        self.events += other.events;
        self.queries += other.queries;
        self.images += other.images;
    }
}

/// Outcomes of messages stand in the store by the thousand; most have no picture.
const fn is_none(count: &u32) -> bool {
    *count == 0
}
