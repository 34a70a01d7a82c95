//! The canonical model: the words of the field, singular, and nothing that knows a wire or a table.

pub mod blood;
mod hold;
mod image;
mod observation;
mod order;
mod patient;
mod private;
mod queue;
mod result_state;
mod value;

pub use self::{
    hold::{Hold, HoldReason},
    image::{
        IMAGE_BYTES_MAX, ImageBytes, ImageFault, ImageFormat, ImageSeen, ImageSource,
        UNKNOWN_MEDIA_TYPE, file_name,
    },
    observation::{
        DeviceEvent, Incomplete, Item, Observation, ObservationKind, Query, QueryAction,
        QuerySubject, ResultStatus, SpecimenRead, WallTime,
    },
    order::{OrderStatus, Priority},
    patient::{PatientSeen, Sex},
    private::Private,
    queue::{QueueEvent, QueueState},
    result_state::ResultState,
    value::{Absent, Comparator, Value},
};
