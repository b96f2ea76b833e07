INSERT INTO g (id, a) VALUES (1, 'a'); UPDATE g SET id = 2; DELETE FROM g;
