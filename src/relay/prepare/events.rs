//! What the preparation reports.

use crate::base::event::{Event, Fields, Level};
use crate::mail::Address;
use crate::plan::Plan;

/// An event of the preparation.
#[derive(Debug)]
pub(super) enum PrepareEvent<'a> {
    /// What is done for a recipient.
    Planned { recipient: &'a Address, plan: &'a Plan },
}

impl Event for PrepareEvent<'_> {
    fn level(&self) -> Level {
        match self {
            PrepareEvent::Planned { plan: Plan::Hold(_) | Plan::Bounce(_), .. } => Level::Warn,
            PrepareEvent::Planned { .. } => Level::Info,
        }
    }

    fn name(&self) -> &'static str {
        "seal.planned"
    }

    fn fields(&self, fields: &mut dyn Fields) {
        let PrepareEvent::Planned { recipient, plan } = self;
        fields.address("recipient", &recipient.to_string());
        fields.word("plan", plan.as_str());
        if let Some(why) = plan.why() {
            fields.quoted("why", &why.to_string());
        }
    }
}
