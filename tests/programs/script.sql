-- SPDX-License-Identifier: MIT
-- What tests/programs/run has sqlite3 do: rows of many sizes, indices, joins, sorts, full text, JSON.
.bail on
PRAGMA cache_size = -20000;
PRAGMA journal_mode = OFF;
CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, city INTEGER, born INTEGER, note TEXT);
CREATE TABLE city (id INTEGER PRIMARY KEY, name TEXT);
INSERT INTO city WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
    SELECT i, 'city ' || (i * 7919 % 500) FROM n;
BEGIN;
INSERT INTO person WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
    SELECT i, 'person ' || (i * 48271 % 200003), i * 31 % 500 + 1, 1900 + i * 17 % 120,
           substr('the quick brown fox jumps over the lazy dog and runs away from here ', 1 + i % 40, i % 60)
    FROM n;
COMMIT;
CREATE INDEX person_name ON person (name);
CREATE INDEX person_city ON person (city, born);
ANALYZE;
SELECT count(*), sum(length(note)), min(name), max(name) FROM person;
SELECT c.name, count(*), avg(p.born) FROM person p JOIN city c ON c.id = p.city
    GROUP BY c.name ORDER BY 2 DESC, 1 LIMIT 20;
SELECT name, born, rank() OVER (PARTITION BY city ORDER BY born, name) AS place FROM person
    WHERE city < 40 ORDER BY place DESC, name LIMIT 20;
SELECT length(group_concat(note, ',')) FROM (SELECT note FROM person ORDER BY note, id LIMIT 100000);
UPDATE person SET note = note || hex(zeroblob(id % 200)) WHERE id % 3 = 0;
DELETE FROM person WHERE id % 7 = 0;
SELECT count(*), sum(length(note)) FROM person;
CREATE VIRTUAL TABLE words USING fts5(body);
INSERT INTO words SELECT note || ' number ' || id FROM person WHERE id < 30000;
SELECT count(*) FROM words WHERE words MATCH 'quick AND fox';
SELECT rowid FROM words WHERE words MATCH 'lazy NEAR dog' ORDER BY rank, rowid LIMIT 10;
SELECT length(json_group_array(json_object('id', id, 'name', name, 'note', note))) FROM person WHERE id < 40000;
SELECT sum(json_extract(value, '$.n')) FROM
    json_each((SELECT json_group_array(json_object('n', id)) FROM person WHERE id < 20000));
VACUUM;
PRAGMA integrity_check;
SELECT hex(substr(group_concat(name, ';'), 1, 64)) FROM (SELECT name FROM person ORDER BY born, name LIMIT 5000);
