-- SPDX-License-Identifier: MIT
-- What `make run` shows a malloc with: a database in memory, with rows of many lengths that come and go.
.mode list
CREATE TABLE row(id INTEGER PRIMARY KEY, name TEXT, part INTEGER);
WITH RECURSIVE count(n) AS (VALUES(1) UNION ALL SELECT n + 1 FROM count WHERE n < 250000)
    INSERT INTO row SELECT n, 'row ' || n || ' ' || hex(zeroblob(n * 7919 % 61)), n % 1000 FROM count;
CREATE INDEX by_name ON row(name);
SELECT 'rows', count(*) FROM row;
SELECT 'joined', sum(length(names)) FROM (SELECT group_concat(name) AS names FROM row GROUP BY part);
SELECT 'distinct', count(DISTINCT substr(name, 5, 7)) FROM row;
SELECT 'json', json_array_length(json_group_array(json_object('id', id, 'name', name))) FROM row;
DELETE FROM row WHERE id % 3 = 0;
UPDATE row SET name = name || name WHERE id % 5 = 0;
SELECT 'left', count(*), sum(length(name)) FROM row;
