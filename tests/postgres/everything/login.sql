-- events of a login, which there are since 17
CREATE FUNCTION app.refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN IF session_user <> 'the boss' THEN RAISE 'nobody else'; END IF; END $$;
CREATE EVENT TRIGGER nobody_else ON login EXECUTE FUNCTION app.refuse();
ALTER EVENT TRIGGER nobody_else ENABLE ALWAYS;
