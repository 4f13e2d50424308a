-- The eight tables of TPC-H (Transaction Processing Performance Council, TPC-H specification,
-- clause 1.4), and a few rows that are made up here.
SET NAMES utf8mb4;
DROP DATABASE IF EXISTS tpch;
CREATE DATABASE tpch CHARACTER SET utf8mb4;
USE tpch;
CREATE TABLE region (r_regionkey INT PRIMARY KEY, r_name CHAR(25) NOT NULL, r_comment VARCHAR(152));
CREATE TABLE nation (n_nationkey INT PRIMARY KEY, n_name CHAR(25) NOT NULL, n_regionkey INT NOT NULL,
  n_comment VARCHAR(152));
CREATE TABLE part (p_partkey INT PRIMARY KEY, p_name VARCHAR(55) NOT NULL, p_mfgr CHAR(25) NOT NULL,
  p_brand CHAR(10) NOT NULL, p_type VARCHAR(25) NOT NULL, p_size INT NOT NULL,
  p_container CHAR(10) NOT NULL, p_retailprice DECIMAL(15,2) NOT NULL, p_comment VARCHAR(23));
CREATE TABLE supplier (s_suppkey INT PRIMARY KEY, s_name CHAR(25) NOT NULL,
  s_address VARCHAR(40) NOT NULL, s_nationkey INT NOT NULL, s_phone CHAR(15) NOT NULL,
  s_acctbal DECIMAL(15,2) NOT NULL, s_comment VARCHAR(101));
CREATE TABLE partsupp (ps_partkey INT NOT NULL, ps_suppkey INT NOT NULL, ps_availqty INT NOT NULL,
  ps_supplycost DECIMAL(15,2) NOT NULL, ps_comment VARCHAR(199), PRIMARY KEY (ps_partkey, ps_suppkey));
CREATE TABLE customer (c_custkey INT PRIMARY KEY, c_name VARCHAR(25) NOT NULL,
  c_address VARCHAR(40) NOT NULL, c_nationkey INT NOT NULL, c_phone CHAR(15) NOT NULL,
  c_acctbal DECIMAL(15,2) NOT NULL, c_mktsegment CHAR(10) NOT NULL, c_comment VARCHAR(117));
CREATE TABLE orders (o_orderkey INT PRIMARY KEY, o_custkey INT NOT NULL, o_orderstatus CHAR(1) NOT NULL,
  o_totalprice DECIMAL(15,2) NOT NULL, o_orderdate DATE NOT NULL, o_orderpriority CHAR(15) NOT NULL,
  o_clerk CHAR(15) NOT NULL, o_shippriority INT NOT NULL, o_comment VARCHAR(79));
CREATE TABLE lineitem (l_orderkey INT NOT NULL, l_partkey INT NOT NULL, l_suppkey INT NOT NULL,
  l_linenumber INT NOT NULL, l_quantity DECIMAL(15,2) NOT NULL, l_extendedprice DECIMAL(15,2) NOT NULL,
  l_discount DECIMAL(15,2) NOT NULL, l_tax DECIMAL(15,2) NOT NULL, l_returnflag CHAR(1) NOT NULL,
  l_linestatus CHAR(1) NOT NULL, l_shipdate DATE NOT NULL, l_commitdate DATE NOT NULL,
  l_receiptdate DATE NOT NULL, l_shipinstruct CHAR(25) NOT NULL, l_shipmode CHAR(10) NOT NULL,
  l_comment VARCHAR(44), PRIMARY KEY (l_orderkey, l_linenumber));
INSERT INTO region VALUES (1, 'AMERICA', ''), (2, 'ASIA', ''), (3, 'EUROPE', '');
INSERT INTO nation VALUES (1, 'BRAZIL', 1, ''), (2, 'GERMANY', 3, ''), (3, 'FRANCE', 3, ''), (4, 'SAUDI ARABIA', 2, ''), (5, 'CANADA', 1, '');
INSERT INTO part VALUES (1, 'forest green', 'M1', 'Brand#23', 'ECONOMY ANODIZED STEEL', 15, 'MED BOX', 9.5, ''), (2, 'blue', 'M2', 'Brand#12', 'LARGE BRASS', 15, 'SM CASE', 19.5, '');
INSERT INTO supplier VALUES (1, 'S1', 'a', 3, '1', 1, ''), (2, 'S2', 'b', 4, '2', 2, '');
INSERT INTO partsupp VALUES (1, 1, 10, 1, ''), (2, 2, 5, 3, ''), (1, 2, 8, 2, '');
INSERT INTO customer VALUES (1, 'C1', 'a', 2, '13-1', 9, 'BUILDING', ''), (2, 'C2', 'b', 1, '31-2', 0, 'AUTO', '');
INSERT INTO orders VALUES (1, 1, 'F', 100, '1995-03-10', '1-URGENT', 'k', 0, ''), (2, 2, 'F', 50, '1993-08-10', '2-HIGH', 'k', 0, '');
INSERT INTO lineitem VALUES (1, 1, 1, 1, 10, 100, 0.06, 0.1, 'R', 'F', '1995-03-20', '1995-04-01', '1995-04-20', 'DELIVER IN PERSON', 'AIR', ''), (2, 2, 2, 1, 5, 50, 0.06, 0, 'N', 'O', '1994-05-01', '1994-06-01', '1994-07-01', 'NONE', 'MAIL', '');
