-- What was found of tubes on automation lines, among all that the lines told.
CREATE INDEX track_event_found ON track_event(line, received_at)
    WHERE kind IN ('tube-in-two-places', 'tube-unread', 'tube-overdue-on-way',
                   'tube-overdue-in-module', 'tube-event-out-of-order', 'tube-forgotten');

-- Orders that people keyed in while a host was away: their host is keyed:<host>.
CREATE INDEX order_item_keyed ON order_item(created_at) WHERE substr(host, 1, 6) = 'keyed:';
