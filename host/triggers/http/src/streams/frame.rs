//! An event as the bytes of a server-sent event.

use bytes::Bytes;

use super::LoggedEvent;

/// One event, ready to be sent to any number of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) number: i64,
    pub(super) topic: String,
    pub(super) bytes: Bytes,
}

/// Said first: how long a client waits before it comes back.
pub(super) const GREETING: &str = "retry: 3000\n\n";
/// Said when there is nothing to say, so that neither side takes the other one for dead.
pub(super) const HEARTBEAT: &str = ":\n\n";
/// Said to a client that wants to go on after an event which is not kept any more: what came between is lost to it.
pub(super) const RESYNC: &str = "event: resync\ndata:\n\n";

impl From<LoggedEvent> for Frame {
    fn from(event: LoggedEvent) -> Self {
        let LoggedEvent {
            number,
            event,
            topic,
            payload,
            ..
        } = event;
        // What is no text cannot be sent as such; no client is told half of an event.
        let text = String::from_utf8_lossy(&payload);
        let mut frame = format!("id: {event}\n");
        // A line break within the data begins a line of data, whichever of the three it is.
        for line in text.replace("\r\n", "\n").split(['\n', '\r']) {
            frame.push_str("data: ");
            frame.push_str(line);
            frame.push('\n');
        }
        frame.push('\n');
        Self {
            number,
            topic,
            bytes: frame.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use host_types::EventId;

    use super::*;

    #[test]
    fn an_event_has_its_id_and_a_line_of_data_for_each_of_its_own() {
        let id = EventId::new(1, [7; 10]);
        let frame = |payload: &[u8]| {
            let event = LoggedEvent {
                number: 3,
                event: id,
                topic: "a".into(),
                key: "k".into(),
                payload: payload.to_vec(),
            };
            String::from_utf8(Frame::from(event).bytes.to_vec()).unwrap()
        };
        assert_eq!(frame(b"{\"a\":1}"), format!("id: {id}\ndata: {{\"a\":1}}\n\n"));
        assert_eq!(frame(b""), format!("id: {id}\ndata: \n\n"));
        // Nobody who publishes can end an event early, or make one up.
        assert_eq!(
            frame(b"a\n\nid: x\r\nb\rc"),
            format!("id: {id}\ndata: a\ndata: \ndata: id: x\ndata: b\ndata: c\n\n")
        );
    }
}
