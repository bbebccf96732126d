-- only where it was built with libxml
CREATE TABLE app.marked (x xml);
INSERT INTO app.marked VALUES ('<a/>');
