-- What leaves with its message is found without reading the table.
CREATE INDEX track_event_message ON track_event(message);
CREATE INDEX answered_message ON answered(message);
