-- A courier takes what has been due for longest, priority by priority: what is not due yet costs it nothing
-- however much waits. The index says when the next row is due as well.
DROP INDEX queue_open;
DROP INDEX queue_due;
CREATE INDEX queue_open ON queue(destination, priority, due_at, id) WHERE state = 'waiting';
-- What waits, as people list it.
CREATE INDEX queue_waiting ON queue(id) WHERE state = 'waiting';
